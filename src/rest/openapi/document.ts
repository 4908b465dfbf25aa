import { type AnyDesc, type DescEnum, type DescFile, type DescMethod, getOption } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { comments } from "../../../gen/nexgate/comments.ts";
import { documentation, group } from "../../../gen/nexgate/rest/v1/documentation_pb.ts";
import { statusOfCode } from "../../call/http-status.ts";
import { enumNames, upperSnake } from "../codec.ts";
import type { JsonObject } from "../message-json.ts";
import { type Route, withErrorContext } from "../routes.ts";
import { documentedPath, operationOf, originalOf } from "./operation.ts";
import { Schemas } from "./schemas.ts";

/** What a description says that no route can. */
export interface Info {
  readonly title: string;
  readonly version: string;
  /** Markdown. */
  readonly description: string;
  readonly license: string;
}

/** When the examples were answered. */
const exampleTime = "2025-12-11T10:30:45Z";

const bearer = {
  type: "http",
  scheme: "bearer",
  bearerFormat: "JWT",
  description: "A user's token, whose `sub` is the user's id. The word `Bearer` may be left out.",
};

/**
 * Describes compiled routes in OpenAPI 3.1. `reasons` is the enum whose values document the reasons of errors.
 *
 * Throws an `Error` that names the method whose examples or error reasons do not fit it.
 */
export function describeRoutes(routes: readonly Route[], info: Info, reasons: DescEnum): JsonObject {
  const schemas = new Schemas(new Comments(filesOf(routes)));
  const shared: Record<string, JsonObject> = {};
  const context = { schemas, reasons, time: exampleTime, shared };
  const methods = Map.groupBy(routes, ({ endpoint }) => endpoint.method);
  const paths: Record<string, Record<string, JsonObject>> = {};
  const originals = [...methods.values()].flatMap((ofMethod) =>
    ofMethod.filter((route) => originalOf(route, ofMethod) === route),
  );
  // Aliases come last.
  for (const route of new Set([...originals, ...routes])) {
    const { method } = route.endpoint;
    const path = documentedPath(route);
    paths[path] = {
      ...paths[path],
      [route.rule.verb.toLowerCase()]: withErrorContext(
        `${method.parent.typeName}/${method.name} cannot be described`,
        () => operationOf(route, methods.get(method) ?? [], context),
      ),
    };
  }
  const { license, ...rest } = info;
  return {
    openapi: "3.1.0",
    info: { ...rest, license: { name: license } },
    // Addresses are relative to the document's own.
    servers: [{ url: "." }],
    security: [{ bearer: [] }],
    tags: groupsOf([...methods.keys()]),
    paths,
    components: { schemas: schemas.named, responses: shared, securitySchemes: { bearer } },
  };
}

/** The groups of methods, in the order of their service. Throws for a method whose service has no group of the name. */
function groupsOf(methods: readonly DescMethod[]): JsonObject[] {
  const services = new Set(methods.map(({ parent }) => parent));
  const groups = [...services].flatMap((service) => getOption(service, group));
  const used = new Set(methods.map((method) => getOption(method, documentation).group));
  used.delete("");
  for (const name of used)
    if (!groups.some((one) => one.name === name)) throw new Error(`"${name}" is no group of any service`);
  return groups.filter(({ name }) => used.has(name)).map(({ name, description }) => ({ name, description }));
}

/** The files whose names the comments of routes may use. */
function filesOf(routes: readonly Route[]): ReadonlySet<DescFile> {
  return new Set(
    routes.flatMap(({ endpoint: { method } }) => [
      method.parent.file,
      ...method.parent.file.dependencies.filter((file) => isSibling(file, method.parent.file)),
    ]),
  );
}

function isSibling(file: DescFile, other: DescFile): boolean {
  return file.proto.package === other.proto.package;
}

/** A definition that can have a comment. */
type Described = Exclude<AnyDesc, DescFile>;

/** Looks up the comments of definitions, with the names that REST uses. */
export class Comments {
  readonly #restNames = new Map<string, string>();

  /** `files`: where the names come from that the comments may speak of. */
  constructor(files: Iterable<DescFile>) {
    for (const code of Object.values(Code)) {
      if (typeof code !== "string") this.#restNames.set(upperSnake(Code[code]), String(statusOfCode(code)));
    }
    for (const file of files) for (const desc of file.enums) this.#addValues(desc);
  }

  /** The comment of a definition, in Markdown: gRPC codes as HTTP statuses, enum values by their names in REST. */
  of(desc: Described): string | undefined {
    const name = "typeName" in desc ? desc.typeName : `${desc.parent?.typeName}.${desc.name}`;
    return comments[name]?.replaceAll(/`([A-Z][A-Z0-9_]+)`/g, (quoted, name: string) => {
      const inRest = this.#restNames.get(name);
      return inRest === undefined ? quoted : `\`${inRest}\``;
    });
  }

  #addValues(desc: DescEnum): void {
    const { names } = enumNames(desc);
    for (const { name, number } of desc.values) {
      const restName = names.get(number);
      if (restName !== undefined) this.#restNames.set(name, restName);
    }
  }
}
