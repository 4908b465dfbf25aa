import pg from "pg";
import { type ServerState, UnusableServerError } from "./server-state.ts";

/** PgBouncer's error for a startup parameter that it does not forward. */
const refusedParameter = "unsupported startup parameter";

/** Settings of a connection, as `set` takes them. */
type Settings = Readonly<Record<string, string>>;

const namesOfSettings = ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"] as const;

/**
 * The server and the startup parameters of new connections. The hosts of a URL are tried in turn until one is a primary.
 * Settings are left out where a pooler refuses them. Shared by all connections to a database.
 */
export class ConnectionTarget {
  readonly #url: DatabaseUrl;
  readonly #warn: (message: string) => void;
  #host = 0;
  #refusesSettings = false;
  readonly #warnedOf = new Set<string>();

  /** `warn` is called with warnings for the operator. */
  constructor(url: DatabaseUrl, warn: (message: string) => void) {
    this.#url = url;
    this.#warn = warn;
  }

  /**
   * The configuration of a new client. Parameters of the URL override those of `base`, but options are added up. With a
   * `query_timeout` of 0 in `base` the client has none: a `ReadTimeout` replaces it.
   */
  configure(base: pg.ClientConfig): pg.ClientConfig {
    const { options: _, ...startup } = this.#url.startup;
    const config = {
      ...base,
      ...startup,
      query_timeout: base.query_timeout === 0 ? 0 : this.readTimeoutMs(base),
      options: optionsOf(base, this.#url),
      connectionString: this.#url.driverUrl(this.#host),
    } as pg.ClientConfig;
    if (!this.#refusesSettings) return config;
    const { options, ...bare } = config;
    for (const name of namesOfSettings) delete bare[name];
    return bare;
  }

  /** How long a statement of a client may stay without an answer, in milliseconds: that of the URL, or of `base`. */
  readTimeoutMs(base: pg.ClientConfig): number | undefined {
    return Number(this.#url.queryTimeout ?? base.query_timeout) || undefined;
  }

  /** Connects by `open`. Retries at each other host, and without settings when a pooler has refused them. */
  async connect<T>(open: () => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      const host = this.#host;
      const hadSettings = !this.#refusesSettings;
      try {
        return await open();
      } catch (failure) {
        if (hadSettings && failure instanceof Error && failure.message.startsWith(refusedParameter)) {
          this.#refusesSettings = true;
          continue;
        }
        if (attempt >= this.#url.hosts.length) throw failure;
        // Another connection may have switched to the next host already.
        if (this.#host === host) this.#host = (host + 1) % this.#url.hosts.length;
      }
    }
  }

  /**
   * Warns, once for each, of settings of `base` and the URL that did not reach the server. Throws an `UnusableServerError`
   * when `search_path` did not: the tables would be looked up in another schema.
   */
  async assertSettings(client: pg.ClientBase, base: pg.ClientConfig, state: ServerState): Promise<void> {
    if (!state.isPooled) return;
    const wanted = wantedSettings(base, this.#url);
    const { rows } = await client.query<{ name: string; setting: string }>({
      text: "select name, setting from pg_settings where name = any($1)",
      values: [Object.keys(wanted)],
    });
    const missing = Object.entries(wanted).filter(
      ([name, value]) => rows.find((row) => row.name === name)?.setting !== value,
    );
    if (missing.some(([name]) => name === "search_path"))
      throw new UnusableServerError(
        "the pooler has dropped search_path: set it by alter role, not in DATABASE_URL",
      );
    const unknown = missing.filter(([name]) => !this.#warnedOf.has(name));
    if (unknown.length === 0) return;
    for (const [name] of unknown) this.#warnedOf.add(name);
    const settings = unknown.map(([name, value]) => `${name} = ${value}`).join(", ");
    this.#warn(`the pooler has dropped settings: set them by alter role for the user: ${settings}`);
  }
}

/** What a client of a target is made of. */
interface TargetClientOptions {
  readonly target: ConnectionTarget;
  readonly client: pg.ClientConfig;
}

/** A pool of clients of a target. `limits`: those of the pool itself. */
export function makePool(
  target: ConnectionTarget,
  client: pg.ClientConfig,
  limits: Pick<pg.PoolConfig, "max" | "connectionTimeoutMillis">,
): pg.Pool {
  // The pool makes each client with its own configuration, which the types of the driver leave out.
  const Client = TargetClient as unknown as new () => pg.ClientBase;
  return new pg.Pool({ ...limits, Client, target, client } as pg.PoolConfig);
}

/** A client of a target. */
export class TargetClient extends pg.Client {
  constructor({ target, client }: TargetClientOptions) {
    super(target.configure(client));
    // Without a listener a lost connection would end the process. The statement in flight rejects anyway.
    this.on("error", () => {});
  }
}

/** Closes the socket of a client without the protocol's goodbye: what runs on the connection fails at once. */
export function disconnect(client: pg.Client): void {
  client.connection.stream.destroy();
}

/**
 * Closes the connection of a client whose server does not answer in time, so that its statement fails. There is one timer
 * for all statements of a connection: the driver's own `query_timeout` makes a timer for each.
 */
export class ReadTimeout {
  readonly #timer: NodeJS.Timeout | undefined;
  #isWaiting = false;

  /** `ms`: how long a statement may stay without an answer, undefined for as long as it takes. */
  constructor(client: pg.Client, ms: number | undefined) {
    if (ms === undefined) return;
    const expire = () => {
      if (this.#isWaiting) client.connection.stream.destroy(new Error("Query read timeout"));
    };
    this.#timer = setTimeout(expire, ms).unref();
  }

  /** A statement is sent. */
  start(): void {
    this.#isWaiting = true;
    this.#timer?.refresh();
  }

  /** The statement has ended. */
  stop(): void {
    this.#isWaiting = false;
  }

  /** The connection is closed. */
  dispose(): void {
    clearTimeout(this.#timer);
  }
}

function optionsOf(base: pg.ClientConfig, { startup }: DatabaseUrl): string | undefined {
  return [base.options, startup.options].filter(Boolean).join(" ") || undefined;
}

/** The settings that the server should have, as `pg_settings` shows them: times in milliseconds. */
function wantedSettings(base: pg.ClientConfig, url: DatabaseUrl): Settings {
  const wanted: Record<string, string> = {};
  for (const name of namesOfSettings) {
    const value = url.startup[name] ?? base[name];
    if (value) wanted[name] = String(value);
  }
  const options = optionsOf(base, url) ?? "";
  for (const [, name = "", value = ""] of options.matchAll(/(?:-c\s*|--)([\w.-]+)=((?:\\.|\S)*)/g))
    wanted[name.replaceAll("-", "_")] = value.replaceAll(/\\(.)/g, "$1");
  return wanted;
}

/** What a `postgres://` URL says, as libpq reads it. */
export interface DatabaseUrl {
  /** In the order in which they are tried. A host that begins with a slash is the directory of a Unix socket. */
  readonly hosts: readonly { readonly host: string; readonly port: number }[];
  readonly database: string;
  /** The URL as the driver reads it, for one of the hosts, without the parameters of `startup`. */
  readonly driverUrl: (host: number) => string;
  /** What is sent when a connection starts, by name. */
  readonly startup: Readonly<Record<string, string>>;
  /** The driver's own timeout of a statement, in milliseconds; null when the URL has none. */
  readonly queryTimeout: string | null;
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
  const queryTimeout = take("query_timeout");
  const database = decodeURIComponent(path);
  return {
    hosts,
    database,
    startup,
    queryTimeout,
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
