import { Ajv2020, type ValidateFunction } from "ajv/dist/2020.js";
import formats from "ajv-formats";
import { errors } from "../../src/domain/errors.ts";

// biome-ignore lint/suspicious/noExplicitAny: a document is JSON whose shape the validator has checked
type Json = any;

/** An answer over REST. */
export interface RestAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  readonly json: Json;
}

interface Operation {
  readonly pattern: RegExp;
  readonly method: string;
  readonly pointer: string;
  readonly responses: Json;
}

/** Compares answers with an OpenAPI document. */
export class Conformance {
  readonly #document: Json;
  readonly #operations: readonly Operation[];
  readonly #ajv = formats.default(new Ajv2020({ allErrors: true, strict: false }));
  readonly #validators = new Map<string, ValidateFunction>();

  constructor(document: Json) {
    this.#document = document;
    this.#ajv.addSchema(closed(document), "document");
    this.#operations = Object.entries<Json>(document.paths).flatMap(([path, methods]) =>
      Object.entries<Json>(methods).map(([method, { responses }]) => ({
        pattern: new RegExp(`^${path.replaceAll(/\{\w+\}/g, "[^/]+")}$`),
        method: method.toUpperCase(),
        pointer: `/paths/${escaped(path)}/${method}/responses`,
        responses,
      })),
    );
  }

  /** Throws when the document does not describe the answer to a request: its status, headers, body and words. */
  check(method: string, target: string, answer: RestAnswer): void {
    const path = target.split("?")[0] ?? "";
    const operation = this.#operations.find((one) => one.method === method && one.pattern.test(path));
    const problems =
      operation === undefined ? this.#unreached(path, answer) : this.#problems(operation, answer);
    if (problems.length > 0)
      throw new Error(
        `${method} ${target} answered ${answer.status} ${answer.text}, which is not as documented: ${problems.join("; ")}`,
      );
  }

  /** What reaches no operation is a 404 or a 405 in one of the envelopes. */
  #unreached(path: string, answer: RestAnswer): string[] {
    const known = this.#operations.some(({ pattern }) => pattern.test(path));
    if (answer.status !== (known ? 405 : 404)) return ["there is no such operation"];
    if (answer.headers.get("x-error-reason") !== "UNSUPPORTED") return ["X-Error-Reason"];
    const fits = ["GlobeFailure", "StatusFailure"].some(
      (name) => this.#schemaProblems(`/components/schemas/${name}`, answer.json).length === 0,
    );
    return fits ? [] : ["the body is in no envelope"];
  }

  #problems({ pointer, responses }: Operation, answer: RestAnswer): string[] {
    const reference: string | undefined = responses[answer.status]?.$ref;
    const at = reference === undefined ? `${pointer}/${answer.status}` : reference.slice(1);
    const response = this.#at(at);
    if (response === undefined) return ["the status is not documented"];
    const { schema, examples } = response.content["application/json"] ?? {};
    if (schema === undefined) return ["the body is not documented"];
    return [
      ...(answer.headers.get("content-type") === "application/json; charset=utf-8" ? [] : ["content-type"]),
      ...Object.entries<Json>(response.headers ?? {})
        .filter(([name, { required }]) => required && !answer.headers.has(name))
        .map(([name]) => `${name} is missing`),
      ...this.#schemaProblems(`${at}/content/application~1json/schema`, answer.json),
      ...(examples === undefined || hasExample(examples, answer.json) ? [] : ["no example says this"]),
    ];
  }

  #schemaProblems(pointer: string, json: Json): string[] {
    let validate = this.#validators.get(pointer);
    if (validate === undefined) {
      validate = this.#ajv.compile({ $ref: `document#${pointer}` });
      this.#validators.set(pointer, validate);
    }
    return validate(json) ? [] : [this.#ajv.errorsText(validate.errors)];
  }

  #at(pointer: string): Json {
    return pointer
      .split("/")
      .slice(1)
      .reduce((value, key) => value?.[key.replaceAll("~1", "/").replaceAll("~0", "~")], this.#document);
  }
}

const known = new Map<string, Conformance>();

/** The document that a running service publishes. */
export async function publishedConformance(url: string): Promise<Conformance> {
  const text = await (await fetch(`${url}/openapi.json`)).text();
  let conformance = known.get(text);
  if (conformance === undefined) {
    conformance = new Conformance(JSON.parse(text));
    known.set(text, conformance);
  }
  return conformance;
}

const fixedTexts: ReadonlySet<string> = new Set(Object.values(errors).map(([, text]) => text));

/** Whether an example has the words of a failure. Only what is wrong with a request is said in words of its own. */
function hasExample(examples: Record<string, { value: Json }>, { error, message }: Json): boolean {
  const ofRequest = Object.keys(examples).some((name) => name.startsWith("INVALID_REQUEST"));
  if (ofRequest && !fixedTexts.has(error ?? message)) return true;
  return Object.values(examples).some(({ value }) => value.message === message && value.error === error);
}

/** A copy whose objects admit no other members than those that it describes, so that nothing stays undocumented. */
function closed(json: Json): Json {
  if (Array.isArray(json)) return json.map(closed);
  if (typeof json !== "object" || json === null) return json;
  const copy = Object.fromEntries(Object.entries(json).map(([key, value]) => [key, closed(value)]));
  return copy.type === "object" && copy.properties ? { additionalProperties: false, ...copy } : copy;
}

function escaped(key: string): string {
  return key.replaceAll("~", "~0").replaceAll("/", "~1");
}
