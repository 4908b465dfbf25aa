/** What statuses are called (RFC 9110 and 6585; 499 is nginx's), in the casing of the documents. */
const phrases = new Map([
  [200, "OK"],
  [400, "Bad request"],
  [401, "Unauthorized"],
  [403, "Forbidden"],
  [404, "Not found"],
  [405, "Method not allowed"],
  [408, "Request timeout"],
  [409, "Conflict"],
  [413, "Content too large"],
  [415, "Unsupported media type"],
  [417, "Expectation failed"],
  [429, "Too many requests"],
  [431, "Request header fields too large"],
  [499, "Client closed request"],
  [500, "Internal server error"],
  [501, "Not implemented"],
  [503, "Service unavailable"],
  [504, "Gateway timeout"],
  [505, "HTTP version not supported"],
]);

/** The phrase of a status: `Bad request`. */
export function phraseOf(status: number): string {
  return phrases.get(status) ?? "Internal server error";
}

/** The name of a status: `BAD_REQUEST`. */
export function nameOf(status: number): string {
  return phraseOf(status).toUpperCase().replaceAll(" ", "_");
}
