// Older major versions of frameworks, with the types of the version that the other tests use.
declare module "express4" {
  import express from "express";
  export default express;
}
declare module "koa2" {
  import Koa from "koa";
  export default Koa;
}
