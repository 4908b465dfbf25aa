/** What a `postgres://` URL says, as libpq reads it. */
export interface DatabaseUrl {
  /** In the order in which they are tried. A host that begins with a slash is the directory of a Unix socket. */
  readonly hosts: readonly { readonly host: string; readonly port: number }[];
  readonly database: string;
  /** The URL as the driver reads it, for one of the hosts, without the parameters of `startup`. */
  readonly driverUrl: (host: number) => string;
  /** What is sent when a connection starts, by name. */
  readonly startup: Readonly<Record<string, string>>;
}

const defaultPort = 5432;
const startupNames = ["options", "statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"];

/** In all of them but the first two the driver verifies the certificate and the host name of the server. */
const sslModes = ["disable", "no-verify", "prefer", "require", "verify-ca", "verify-full"];
const verifying = new Set(["prefer", "require", "verify-ca"]);
/** Accepted and without effect: only a primary is ever used. */
const sessionAttributes = ["any", "primary", "read-write"];

/** Reads a URL. Throws an error for the operator, without the URL in it. */
export function parseDatabaseUrl(url: string): DatabaseUrl {
  const [, credentials = "", authority = "", path = "", query = ""] =
    /^postgres(?:ql)?:\/\/(?:([^/?#]*)@)?([^/?#]*)(?:\/([^?#]*))?(?:\?([^#]*))?/.exec(url) ?? [];
  const parameters = new URLSearchParams(query);
  const take = (name: string) => {
    const value = parameters.get(name);
    parameters.delete(name);
    return value;
  };
  const oneOf = (name: string, value: string | null, allowed: readonly string[]) => {
    if (value !== null && !allowed.includes(value))
      throw new Error(`DATABASE_URL: ${name} must be one of ${allowed.join(", ")}`);
  };
  oneOf("target_session_attrs", take("target_session_attrs"), sessionAttributes);
  const sslMode = parameters.get("sslmode");
  oneOf("sslmode", sslMode, sslModes);
  // The driver treats these as verify-full, and warns that a later version will not.
  if (verifying.has(sslMode ?? "") && parameters.get("uselibpqcompat") !== "true")
    parameters.set("sslmode", "verify-full");

  const hosts = hostsOf(authority, take("host"), take("port"));
  const startup: Record<string, string> = {};
  for (const name of startupNames) {
    const value = take(name);
    if (value !== null) startup[name] = value;
  }
  const database = decodeURIComponent(path);
  return {
    hosts,
    database,
    startup,
    driverUrl(number) {
      const { host, port } = hosts[number % hosts.length] as DatabaseUrl["hosts"][number];
      const own = new URLSearchParams(parameters);
      own.set("host", host);
      own.set("port", String(port));
      return `postgres://${credentials === "" ? "" : `${credentials}@`}localhost/${path}?${own}`;
    },
  };
}

/** The parameters of hosts and ports come before those of the authority. */
function hostsOf(authority: string, host: string | null, port: string | null): DatabaseUrl["hosts"] {
  const parts = authority.split(",").map((part) => {
    const [, ipv6, name = "", ownPort] = /^(?:\[([^\]]*)\]|([^:]*))(?::(\d*))?$/.exec(part) ?? [];
    return { host: ipv6 ?? decodeURIComponent(name), port: ownPort };
  });
  const names = host?.split(",") ?? parts.map((part) => part.host);
  const ports = port?.split(",") ?? parts.map((part) => part.port ?? "");
  if (ports.length !== 1 && ports.length !== names.length)
    throw new Error(`DATABASE_URL: ${names.length} hosts cannot have ${ports.length} ports`);
  return names.map((name, i) => {
    const number = Number(ports[ports.length === 1 ? 0 : i] || defaultPort);
    if (!Number.isInteger(number) || number < 1 || number > 65_535)
      throw new Error("DATABASE_URL: a port must be a number from 1 to 65535");
    return { host: name || "localhost", port: number };
  });
}
