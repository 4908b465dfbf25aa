/** One segment of a path template: fixed text, or the request field that takes the segment. */
export type Segment = { readonly literal: string } | { readonly field: string };

const literal = /^[A-Za-z0-9._~-]+$/;
const variable = /^\{([A-Za-z_][A-Za-z0-9_]*)(?:=\*)?\}$/;

/**
 * Parses the path template of a `google.api.http` rule. Literals of unreserved characters, `{field}` and `{field=*}`
 * are supported; throws for the rest of the grammar: nested field paths, bare wildcards, `**`, patterns of several
 * segments, custom verbs.
 */
export function parseTemplate(template: string): readonly Segment[] {
  if (!template.startsWith("/")) throw new Error("the path must begin with /");
  const segments = template.slice(1).split("/").map(parseSegment);
  const fields = segments.flatMap((segment) => ("field" in segment ? [segment.field] : []));
  const twice = fields.find((field, index) => fields.indexOf(field) !== index);
  if (twice !== undefined) throw new Error(`the path binds "${twice}" twice`);
  return segments;
}

/** The path of a template with its fields filled in, percent-encoded. */
export function fillTemplate(segments: readonly Segment[], values: readonly string[]): string {
  let next = 0;
  return segments
    .map((segment) => `/${"literal" in segment ? segment.literal : encodeURIComponent(values[next++] ?? "")}`)
    .join("");
}

function parseSegment(text: string): Segment {
  if (literal.test(text)) return { literal: text };
  const field = variable.exec(text)?.[1];
  if (field === undefined) throw new Error(`the path segment "${text}" is not supported`);
  return { field };
}
