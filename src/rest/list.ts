import {
  clone,
  create,
  type DescField,
  type DescMessage,
  type DescMethod,
  type Message,
  ScalarType,
} from "@bufbuild/protobuf";
import { Code, ConnectError, type HandlerContext } from "@connectrpc/connect";
import type { UnaryEndpoint } from "../call/service.ts";
import { fillTemplate, type Segment } from "./http-rule.ts";
import { pairsOf } from "./request-reader.ts";

/** The fields that make a method a list of AIP-158. */
export interface ListShape {
  readonly pageSize: DescField;
  readonly pageToken: DescField;
  readonly nextPageToken: DescField;
}

/** The rows of a page of a complete list. */
export const completePageSize = 1000;

/**
 * Recognises a list by its descriptors: `int32 page_size` and `string page_token` in the request, `string
 * next_page_token` in the reply, whose one repeated message field is the `response_body`.
 */
export function listShape({ input, output }: DescMethod, responseBody: string): ListShape | undefined {
  const pageSize = scalar(input, "page_size", ScalarType.INT32);
  const pageToken = scalar(input, "page_token", ScalarType.STRING);
  const nextPageToken = scalar(output, "next_page_token", ScalarType.STRING);
  const rows = output.fields.filter(({ fieldKind, message }) => fieldKind === "list" && message);
  if (rows.length !== 1 || rows[0]?.name !== responseBody) return undefined;
  return pageSize && pageToken && nextPageToken && { pageSize, pageToken, nextPageToken };
}

/** The token of the page after a reply, empty on the last page. */
export function nextTokenOf(shape: ListShape, reply: Message): string {
  return (reply as unknown as Record<string, string>)[shape.nextPageToken.localName] ?? "";
}

/** Sets a field of a list request. */
export function setField(request: Message, field: DescField, value: number | string): void {
  (request as unknown as Record<string, unknown>)[field.localName] = value;
}

/**
 * Stands in for the handler of a list inside one call, and asks it for page after page. A list of one page is
 * returned like any reply. Of a longer one each page goes to `write` before the next is asked for, and the return is
 * an empty reply. Each page has `deadlineMs`; the caller of the call sees the first failure of any page.
 */
export function allPages(
  { impl, method }: UnaryEndpoint,
  shape: ListShape,
  deadlineMs: number,
  write: (page: Message) => Promise<void>,
): UnaryEndpoint["impl"] {
  return async (first, context) => {
    let request = first;
    for (;;) {
      const init = await withDeadline(context, deadlineMs, (limited) => impl(request, limited));
      const page = create(method.output, init);
      const token = nextTokenOf(shape, page);
      if (token === "" && request === first) return page;
      await write(page);
      if (token === "") return create(method.output);
      request = clone(method.input, request);
      setField(request, shape.pageToken, token);
    }
  };
}

async function withDeadline<Result>(
  context: HandlerContext,
  ms: number,
  run: (limited: HandlerContext) => Result,
): Promise<Awaited<Result>> {
  const deadline = new AbortController();
  const expire = () => deadline.abort(new ConnectError("the operation timed out", Code.DeadlineExceeded));
  const timer = setTimeout(expire, ms);
  const endsAt = performance.now() + ms;
  try {
    const { service, method, protocolName, requestMethod, url, values } = context;
    const { requestHeader, responseHeader, responseTrailer } = context;
    return await run({
      ...{ service, method, protocolName, requestMethod, url, values },
      ...{ requestHeader, responseHeader, responseTrailer },
      signal: AbortSignal.any([context.signal, deadline.signal]),
      timeoutMs: () => endsAt - performance.now(),
    });
  } finally {
    clearTimeout(timer);
  }
}

function scalar(message: DescMessage, name: string, type: ScalarType): DescField | undefined {
  return message.fields.find(
    (field) => field.name === name && field.fieldKind === "scalar" && field.scalar === type,
  );
}

/** What a link to the next page repeats of the request for this one. */
interface Page {
  /** The path prefix under which the client sees the service. */
  readonly prefix: string;
  readonly segments: readonly Segment[];
  /** The decoded parameters of the path. */
  readonly parameters: readonly string[];
  readonly query: string;
}

/** The value of a `Link` header that leads to the next page (RFC 8288): this page's target with another token. */
export function nextPageLink({ pageToken }: ListShape, page: Page, nextToken: string): string {
  const query = new URLSearchParams(
    pairsOf(page.query).filter(([name]) => name !== pageToken.name && name !== pageToken.jsonName) as [
      string,
      string,
    ][],
  );
  query.append(pageToken.name, nextToken);
  return `<${page.prefix}${fillTemplate(page.segments, page.parameters)}?${query}>; rel="next"`;
}
