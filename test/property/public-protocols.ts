import { globSync } from "node:fs";
import { Agent, request } from "node:http";
import type { DescMethod, DescService } from "@bufbuild/protobuf";
import { fillTemplate, httpRulesOf, parseTemplate } from "../../src/rest/http-rule.ts";

/** A request message as REST spells it: enum values are words. */
export type Fields = Readonly<Record<string, string | number | boolean | readonly string[]>>;

/** Further headers of a request. */
export type Headers = Readonly<Record<string, string>>;

/** All that a client sees of an answer. */
export interface Answer {
  readonly status: number;
  /** Names and values in turn, as they came. */
  readonly headers: readonly string[];
  readonly body: string;
}

/** One way in which a method can be called on the public port: a REST rule, or Connect. */
export interface PublicCall {
  readonly name: string;
  call(url: string, token: string, message: Fields, headers?: Headers): Promise<Answer>;
}

/** The public calls of every method that has a REST rule in the definitions of any service, by the method's name. */
export async function publicProtocols(): Promise<Map<string, PublicCall[]>> {
  const protocols = new Map<string, PublicCall[]>();
  for (const file of globSync("gen/nexgate/**/*_service_pb.ts")) {
    const services: DescService[] = Object.values(await import(`../../${file}`));
    for (const method of services
      .filter(({ kind }) => kind === "service")
      .flatMap(({ methods }) => methods)) {
      const rest = httpRulesOf(method).map((rule) => restCall(rule));
      if (rest.length > 0) protocols.set(method.name, [...rest, connectCall(method)]);
    }
  }
  return protocols;
}

const agent = new Agent({ keepAlive: true });

function restCall({ verb, template, body }: ReturnType<typeof httpRulesOf>[number]): PublicCall {
  const segments = parseTemplate(template);
  const inPath = segments.flatMap((segment) => ("field" in segment ? [camel(segment.field)] : []));
  return {
    name: `${verb} ${template}`,
    call(url, token, message, headers) {
      const path = fillTemplate(
        segments,
        inPath.map((field) => String(message[field])),
      );
      const rest = Object.entries(message).filter(([field]) => !inPath.includes(field));
      const pairs = rest.flatMap(([field, value]) => [value].flat().map((one) => [field, String(one)]));
      const query = new URLSearchParams(pairs).toString();
      return body === "*"
        ? exchange(url + path, verb, token, Object.fromEntries(rest), headers)
        : exchange(`${url}${path}${query === "" ? "" : `?${query}`}`, verb, token, undefined, headers);
    },
  };
}

function connectCall(method: DescMethod): PublicCall {
  const path = `/${method.parent.typeName}/${method.name}`;
  const enums = new Map(method.input.fields.map((field) => [field.jsonName, field.enum]));
  return {
    name: `Connect ${method.name}`,
    call(url, token, message, headers) {
      const spelled = Object.entries(message).map(([field, value]) => {
        const values = enums.get(field)?.values ?? [];
        const spell = (word: unknown) =>
          values.find(({ localName }) => localName === String(word).toUpperCase())?.name ?? word;
        return [field, Array.isArray(value) ? value.map(spell) : spell(value)];
      });
      return exchange(url + path, "POST", token, Object.fromEntries(spelled), headers);
    },
  };
}

const camel = (name: string) => name.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());

/** Sends a request over HTTP/1.1 and returns its answer as it came. */
export function exchange(
  url: string,
  method: string,
  token: string,
  json?: object,
  further: Headers = {},
): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const body = json === undefined ? undefined : JSON.stringify(json);
  const headers = {
    authorization: `Bearer ${token}`,
    ...further,
    ...(body === undefined ? {} : { "content-type": "application/json", "content-length": body.length }),
  };
  const sent = request(url, { method, headers, agent }, (response) => {
    const chunks: Buffer[] = [];
    response.on("data", (chunk: Buffer) => chunks.push(chunk));
    response.on("error", reject);
    response.on("end", () =>
      resolve({
        status: response.statusCode ?? 0,
        headers: response.rawHeaders,
        body: Buffer.concat(chunks).toString("latin1"),
      }),
    );
  });
  sent.on("error", reject);
  sent.end(body);
  return promise;
}
