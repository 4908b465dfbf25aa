/**
 * Replaces an `:authority` that is not valid in a URL. Nothing depends on its value. gRPC clients derive it from their
 * targets: an encoded path or list of addresses (`unix:`, `ipv4:`), a port alone, an IPv6 address without brackets.
 * nghttp2 refuses those whose characters RFC 9113, 8.3.1 forbids.
 */
export const anyAuthority = "localhost";

/** Answers whether an authority (`:authority`, or `Host`) names a host and nothing else. */
export type CheckAuthority = (authority: string | undefined) => boolean;

/**
 * Makes a check that remembers the last good authority, since a client sends the same one again and again.
 *
 * Connect builds a `URL` from it outside of any `catch`: with `[` or `x:99999` one request would end the process.
 */
export function authorityCheck(): CheckAuthority {
  let lastGood: string | undefined;
  return (authority) => {
    if (authority === undefined) return false;
    if (authority === lastGood) return true;
    if (!isHost(authority)) return false;
    lastGood = authority;
    return true;
  };
}

function isHost(authority: string): boolean {
  const url = URL.parse(`http://${authority}`);
  return (
    url !== null &&
    url.pathname === "/" &&
    url.search === "" &&
    url.hash === "" &&
    url.username === "" &&
    url.password === ""
  );
}
