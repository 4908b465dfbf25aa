import { type BlockList, isIP, isIPv4, isIPv6 } from "node:net";
import { createContextKey, type HandlerContext } from "@connectrpc/connect";

/** Returns the peer address of a call's connection while that is open. Set by every transport. */
export const peerKey = createContextKey<() => string | undefined>(() => undefined, { description: "peer" });

/**
 * Makes a function that names the client of a call by its address: IPv6 by the first 64 bits, which belong to one
 * subscriber (RFC 6177). `X-Forwarded-For` is used from trusted proxies only, and of it the last address that is not
 * such a proxy itself: anyone can have written what precedes that. Empty when the connection is closed.
 *
 * `onUntrusted` is called once, when the header first comes from a peer that is not trusted.
 */
export function clientAddress(
  trusted: BlockList,
  onUntrusted = () => {},
): (context: HandlerContext) => string {
  let warned = false;
  const isTrusted = (address: string) => trusted.check(address, isIPv6(address) ? "ipv6" : "ipv4");
  return ({ values, requestHeader }) => {
    let address = plain(values.get(peerKey)() ?? "");
    if (isIP(address) === 0) return "";
    const forwarded = requestHeader.get("x-forwarded-for");
    if (!warned && forwarded !== null && !isTrusted(address)) {
      warned = true;
      onUntrusted();
    }
    const hops = (forwarded ?? "").split(",");
    while (isTrusted(address)) {
      const hop = plain(hops.pop() ?? "");
      if (isIP(hop) === 0) break;
      address = hop;
    }
    return isIPv6(address) ? network(address) : address;
  };
}

/** An address without the port that some proxies add and without a zone; an IPv4-mapped IPv6 address as IPv4. */
function plain(text: string): string {
  const [, bracketed, v4] = /^\s*(?:\[([^\]]*)\](?::\d+)?|([\d.]+):\d+)\s*$/.exec(text) ?? [];
  const [address = ""] = (bracketed ?? v4 ?? text.trim()).split("%");
  const mapped = /^::ffff:([\d.]+)$/i.exec(address)?.[1];
  return mapped !== undefined && isIPv4(mapped) ? mapped : address;
}

/** The first four groups of an IPv6 address. */
function network(address: string): string {
  const [head = [], tail = []] = address.split("::").map((part) => part.split(":").filter(Boolean));
  const zeros = new Array(Math.max(0, 8 - head.length - tail.length)).fill("0");
  return [...head, ...zeros, ...tail]
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(":");
}
