import type { DescMethod } from "@bufbuild/protobuf";
import { fillTemplate, httpRulesOf, parseTemplate } from "../../../src/rest/http-rule.ts";
import { jsonOf } from "./methods.ts";

/** A good request of one of a method's routes. */
export interface RestRequest {
  readonly verb: string;
  readonly path: string;
  readonly body: Record<string, unknown> | undefined;
}

/** A good request for each route of a method, with regard to a user. */
export function restRequests(method: DescMethod, target: string): RestRequest[] {
  const fields: [string, unknown][] = Object.entries(jsonOf(method, target) as Record<string, unknown>).map(
    ([name, value]) => [name, Array.isArray(value) ? value.map(restName) : restName(value)],
  );
  return httpRulesOf(method).map(({ verb, template, body }) => {
    const segments = parseTemplate(template);
    const inPath = segments.flatMap((segment) => ("field" in segment ? [camel(segment.field)] : []));
    const values = Object.fromEntries(fields);
    const others = fields.filter(([name]) => !inPath.includes(name));
    const path = fillTemplate(
      segments,
      inPath.map((field) => String(values[field])),
    );
    return {
      verb,
      path: path + (body === "" ? queryOf(others) : ""),
      body: body === "" ? undefined : Object.fromEntries(others),
    };
  });
}

/** REST spells enums without their prefix, in lower case. */
function restName(value: unknown): unknown {
  if (typeof value !== "string") return value;
  return value.replace(/^(?:PRIVACY_SETTING|AUDIENCE|MUTE_SCOPE)_(\w+)$/, (_, word: string) =>
    word.toLowerCase(),
  );
}

function queryOf(fields: readonly [string, unknown][]): string {
  const pairs = fields.flatMap(([name, value]) => [value].flat().map((one) => [name, String(one)]));
  return pairs.length === 0 ? "" : `?${new URLSearchParams(pairs)}`;
}

const camel = (name: string) => name.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());
