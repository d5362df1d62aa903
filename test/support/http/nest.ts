import type { AddressInfo } from "node:net";
import type { AbstractHttpAdapter } from "@nestjs/core";
import type { INestApplication, ModuleMetadata } from "@nestjs/common";
import { Module } from "@nestjs/common";
import { NestFactory } from "@nestjs/core";
import { ExpressAdapter } from "@nestjs/platform-express";

/** Decorates a method as TypeScript does in its legacy mode, which Nest needs: the last decorator first. */
export function decorateMethod(owner: abstract new () => object, name: string, ...decorators: MethodDecorator[]): void {
  const prototype = owner.prototype as object;
  for (const decorator of decorators.reverse()) {
    decorator(prototype, name, Object.getOwnPropertyDescriptor(prototype, name)!);
  }
}

/** Decorates a class, the last decorator first. */
export function decorateClass(owner: abstract new () => object, ...decorators: ClassDecorator[]): void {
  for (const decorator of decorators.reverse()) decorator(owner);
}

/** Returns a class with the metadata of a module. */
export function moduleWith(metadata: ModuleMetadata): new () => object {
  // eslint-disable-next-line @typescript-eslint/no-extraneous-class -- a module of Nest
  class TestModule {}
  decorateClass(TestModule, Module(metadata));
  return TestModule;
}

/** Creates an application that logs nothing, and rejects if it cannot be created. */
export function createApp(
  metadata: ModuleMetadata,
  adapter: AbstractHttpAdapter = new ExpressAdapter(),
  options: object = {},
): Promise<INestApplication> {
  return NestFactory.create(moduleWith(metadata), adapter, { logger: false, abortOnError: false, ...options } as never);
}

/** Listens on a free port and returns it. */
export async function listen(app: INestApplication): Promise<number> {
  await app.listen(0, "127.0.0.1");
  return ((app.getHttpServer() as { address(): unknown }).address() as AddressInfo).port;
}
