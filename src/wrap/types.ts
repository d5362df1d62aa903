/** What `rateLimited` returns: a wrapper of functions, and a decorator of methods. */
export interface RateLimited<T, P extends readonly unknown[], R, F> {
  /** Wraps a function, which may take more arguments than the key is made of. The result is always a promise. */
  <This extends T, A extends readonly [...P, ...unknown[]], V extends R>(
    target: (this: This, ...args: A) => V | PromiseLike<V>,
    // So that TypeScript does not choose this signature for a decorator.
    context?: undefined,
  ): (this: This, ...args: A) => Promise<V | F>;
  /** Decorates an asynchronous method: a standard decorator. */
  <This, M extends AsyncMethod>(
    target: M,
    context: ClassMethodDecoratorContext<This, M> & CompatibleTarget<This, M, T, P, R>,
  ): Decorated<M, F>;
  /** Decorates an asynchronous method under `experimentalDecorators`. */
  <This, M extends AsyncMethod>(
    target: This,
    name: string | symbol,
    descriptor: TypedPropertyDescriptor<M> & CompatibleTarget<This, M, T, P, R>,
  ): TypedPropertyDescriptor<Decorated<M, F>>;
}

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- any arguments and any `this`
type AsyncMethod = (this: any, ...args: any) => Promise<unknown>;

/** The type of a decorated method: its own type, also if it is generic, unless `onRefused` adds to its result. */
type Decorated<M extends AsyncMethod, F> = [F] extends [never]
  ? M
  : (this: ThisParameterType<M>, ...args: Parameters<M>) => Promise<Awaited<ReturnType<M>> | F>;

/** `unknown` for a compatible method; else a type with a property that no method has, whose type is the error message. */
type CompatibleTarget<This, M extends AsyncMethod, T, P extends readonly unknown[], R> = This extends T
  ? Arguments<M> extends readonly [...P, ...unknown[]]
    ? Awaited<ReturnType<M>> extends R
      ? unknown
      : IncompatibleTarget<"refundWhen expects another result than this method's">
    : IncompatibleTarget<"keyOf expects other arguments than this method's">
  : IncompatibleTarget<"the limiter is looked up on another class than this method's">;

/** `never` for a synchronous method, so that TypeScript reports the missing promise and not a mismatch of arguments. */
type Arguments<M extends AsyncMethod> = 0 extends 1 & Parameters<M> ? never : Parameters<M>;

interface IncompatibleTarget<Reason extends string> {
  readonly misfit: Reason;
}
