import type { ListShape } from "./list.ts";
import { pairsOf } from "./parameters.ts";
import { fillTemplate, type Segment } from "./template.ts";

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
