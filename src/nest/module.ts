import type { DynamicModule, OnModuleInit, Provider } from "@nestjs/common";
import { Inject, Module } from "@nestjs/common";
import { MetadataScanner, ModulesContainer } from "@nestjs/core";
import { parseOptions, typeError } from "../core/validate.js";
import type { NestAsyncOptions, NestOptions } from "./options.js";
import { RouteLimits } from "./route-limits.js";

/**
 * The limits of an application. The module alone limits nothing: bind the `RateLimitGuard`, to the application or to classes.
 *
 * It is global, so import it once. When the application starts, it checks the names of limits in all decorators.
 *
 * @example
 * \@Module({
 *   imports: [RateLimitModule.forRoot({ limiter: new AsyncRateLimiter({ maxCalls: 100, period: "1m" }) })],
 *   providers: [{ provide: APP_GUARD, useClass: RateLimitGuard }],
 * })
 * class AppModule {}
 */
export class RateLimitModule implements OnModuleInit {
  static {
    Module({})(this);
    Inject(RouteLimits)(this, undefined, 0);
    Inject(ModulesContainer)(this, undefined, 1);
  }

  readonly #limits: RouteLimits;
  readonly #modules: ModulesContainer;

  constructor(limits: RouteLimits, modules: ModulesContainer) {
    this.#limits = limits;
    this.#modules = modules;
  }

  /** @throws TypeError for an option that is unknown or of the wrong type, RangeError for one out of range. */
  static forRoot<K extends string = string>(options: NestOptions<K>): DynamicModule {
    const limits = new RouteLimits(options as NestOptions);
    return moduleOf({ provide: RouteLimits, useValue: limits });
  }

  /**
   * The module with options that are made from other providers.
   *
   * @throws TypeError for an option that is unknown or of the wrong type; when the application starts, the errors of
   *   {@link forRoot}.
   *
   * @example
   * RateLimitModule.forRootAsync({
   *   inject: [ConfigService],
   *   useFactory: (config: ConfigService) => ({ limiter: limiterFor(config) }),
   * })
   */
  static forRootAsync<K extends string = string>(options: NestAsyncOptions<K>): DynamicModule {
    const {
      imports = [],
      inject = [],
      useFactory,
    } = parseOptions("options", options, ["imports", "inject", "useFactory"]);
    if (typeof useFactory !== "function") throw typeError("useFactory", "a function", useFactory);
    const make = async (...injected: readonly unknown[]): Promise<RouteLimits> =>
      new RouteLimits((await useFactory(...(injected as never[]))) as NestOptions);
    return { ...moduleOf({ provide: RouteLimits, inject, useFactory: make }), imports };
  }

  /** Called by Nest. @throws RangeError if a decorator names a limit that the module does not have. */
  onModuleInit(): void {
    const scanner = new MetadataScanner();
    for (const { controllers, providers } of this.#modules.values()) {
      for (const { metatype } of [...controllers.values(), ...providers.values()]) {
        const prototype = (metatype as { readonly prototype?: Record<string, unknown> } | null)?.prototype;
        if (prototype === undefined) continue;
        for (const name of scanner.getAllMethodNames(prototype)) {
          this.#limits.of(prototype[name] as () => unknown, metatype as object);
        }
      }
    }
  }
}

function moduleOf(provider: Provider<RouteLimits>): DynamicModule {
  return { module: RateLimitModule, global: true, providers: [provider], exports: [RouteLimits] };
}
