/** The headers that are described once for all answers. */
const commonHeaders = [
  "X-Request-Id",
  "X-Error-Reason",
  "Consistency-Token",
  "WWW-Authenticate",
  "Retry-After",
];
const shownItems = 2;

/**
 * Makes of the published description what people read: aliases are sentences of the operations that they repeat, the
 * answers that any call can get are taken out, and each operation has a worked example. `base` is the service's address.
 */
export function present(description, base) {
  const spec = structuredClone(description);
  spec.servers = [{ url: base }];
  const aliases = takeAliases(spec.paths);
  for (const [path, methods] of Object.entries(spec.paths))
    for (const [method, operation] of Object.entries(methods)) {
      const answer = operation.responses[200].content["application/json"].example;
      operation.responses = withoutShared(operation.responses);
      operation.description = [
        operation.description,
        ...aliasSentence(aliases.get(operation.operationId) ?? []),
        "**Example**",
        codeBlock("sh", curl(base + path, method, operation)),
        ...(answer === undefined ? [] : [codeBlock("json", JSON.stringify(shortened(answer), null, 2))]),
      ].join("\n\n");
      delete operation.responses[200].content["application/json"].example;
    }
  return { spec, answersOfAll: sharedAnswers(description) };
}

/** Removes the aliases from the paths. Returns them by the id of the operation that they repeat. */
function takeAliases(paths) {
  const aliases = new Map();
  for (const [path, methods] of Object.entries(paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      const original = operation["x-alias-of"];
      if (original === undefined) continue;
      aliases.set(original, [...(aliases.get(original) ?? []), `${method.toUpperCase()} ${path}`]);
      delete methods[method];
    }
    if (Object.keys(methods).length === 0) delete paths[path];
  }
  return aliases;
}

function aliasSentence(aliases) {
  return aliases.length === 0 ? [] : [`Also at ${aliases.map((alias) => `\`${alias}\``).join(" and ")}.`];
}

/** The answers that are particular to an operation; the others are mentioned under `default`. */
function withoutShared(responses) {
  const own = Object.entries(responses).filter(([, response]) => response.$ref === undefined);
  const shared = Object.keys(responses).filter((status) => responses[status].$ref !== undefined);
  for (const [, response] of own)
    response.headers = Object.fromEntries(
      Object.entries(response.headers ?? {}).filter(([name]) => !commonHeaders.includes(name)),
    );
  return { ...Object.fromEntries(own), default: { description: shared.join(", ") } };
}

/** A command that sends the example request; `$TOKEN` is the token. */
function curl(template, method, { parameters, requestBody }) {
  const example = (name) => parameters.find((parameter) => parameter.name === name)?.example;
  const target = template.replaceAll(/\{(\w+)\}/g, (_, name) => encodeURIComponent(example(name) ?? name));
  const query = parameters
    .filter((parameter) => parameter.in === "query" && parameter.example !== undefined)
    .flatMap(({ name, example }) => [example].flat().map((value) => `${name}=${encodeURIComponent(value)}`));
  const body = requestBody?.content["application/json"].example ?? {};
  const verb = method === "get" ? "" : `-X ${method.toUpperCase()} `;
  return [
    `curl ${verb}'${target}${query.length === 0 ? "" : `?${query.join("&")}`}'`,
    `-H "Authorization: Bearer $TOKEN"`,
    ...(Object.keys(body).length === 0
      ? []
      : [`-H 'Content-Type: application/json'`, `-d '${JSON.stringify(body)}'`]),
  ].join(" \\\n  ");
}

/** An answer with the first items of its list. */
function shortened(answer) {
  return Array.isArray(answer.data) ? { ...answer, data: answer.data.slice(0, shownItems) } : answer;
}

function codeBlock(language, text) {
  return `\`\`\`${language}\n${text}\n\`\`\``;
}

/** The answers that any call can get, a row for each reason, with its text in each envelope. */
function sharedAnswers({ paths, components }) {
  const rows = new Map();
  for (const [name, status] of statusesOf(paths)) {
    const { examples } = components.responses[name].content["application/json"];
    for (const { summary, description } of Object.values(examples))
      for (const [, reason, meaning] of description.matchAll(/^`(\w+)`: (.*)$/gm)) {
        const row = rows.get(reason) ?? { status, reason, meaning, texts: [] };
        if (!row.texts.includes(summary)) row.texts.push(summary);
        rows.set(reason, row);
      }
  }
  return [...rows.values()].sort((one, other) => one.status - other.status);
}

/** The statuses of the answers to which operations refer, by the names of those. */
function statusesOf(paths) {
  const responses = Object.values(paths).flatMap((methods) =>
    Object.values(methods).flatMap((operation) => Object.entries(operation.responses)),
  );
  return new Map(
    responses.flatMap(([status, { $ref }]) =>
      $ref === undefined ? [] : [[$ref.slice($ref.lastIndexOf("/") + 1), Number(status)]],
    ),
  );
}

/** Describes a field and what it contains, for a list. */
export function fieldsOf(name, schema, spec) {
  const { description, ...own } = schema;
  const isNull = ({ type }) => type === "null";
  const value = resolved(own.anyOf?.find((one) => !isNull(one)) ?? own, spec);
  const item = value.type === "array" ? resolved(value.items, spec) : value;
  const kind = item.enum?.join(", ") ?? item.format ?? item.type;
  return {
    name,
    type: `${value.type === "array" ? "list of " : ""}${kind}${own.anyOf?.some(isNull) ? ", or null" : ""}`,
    description,
    members: Object.entries(item.properties ?? {}).map(([key, member]) => fieldsOf(key, member, spec)),
  };
}

function resolved(schema, spec) {
  return schema.$ref === undefined
    ? schema
    : spec.components.schemas[schema.$ref.slice(schema.$ref.lastIndexOf("/") + 1)];
}
