import { once } from "node:events";
import { createServer } from "node:net";
import { loadDemoData } from "../development/demo-data.ts";
import { PrivacyError } from "../domain/errors.ts";
import type { Database } from "../store/database.ts";

/** The service cannot start; the message tells the operator why. */
class StartError extends Error {
  override readonly name = "StartError";
}

/** The ports that a service is to open, by the variables that name them. */
interface Ports {
  readonly host: string;
  readonly httpPort: number;
  readonly grpcPort: number;
  readonly admin: { readonly host: string; readonly port: number };
}

/**
 * Throws a `StartError` that names every variable whose port or address cannot be listened on. Call it before anything
 * else. The ports are free again afterwards.
 */
export async function assertPortsAvailable({ host, httpPort, grpcPort, admin }: Ports): Promise<void> {
  const problems = [
    await problemOf("HTTP_PORT", httpPort, "HOST", host),
    await problemOf("GRPC_PORT", grpcPort, "HOST", host),
    await problemOf("ADMIN_PORT", admin.port, "ADMIN_HOST", admin.host),
  ].filter((problem) => problem !== undefined);
  // Two ports may have the same problem with one address.
  if (problems.length > 0) throw new StartError([...new Set(problems)].join("\n"));
}

async function problemOf(
  portVariable: string,
  port: number,
  hostVariable: string,
  host: string,
): Promise<string | undefined> {
  const server = createServer().listen({ host, port, exclusive: true });
  try {
    await once(server, "listening");
  } catch (failure) {
    const { code, message } = failure as NodeJS.ErrnoException;
    if (code === "EADDRINUSE")
      return `${portVariable}: port ${port} of ${host} is in use. Stop what listens there, or set ${portVariable} to another port.`;
    if (code === "EACCES") return `${portVariable}: this account may not listen on port ${port} of ${host}.`;
    if (code === "EADDRNOTAVAIL" || code === "EINVAL")
      return `${hostVariable}: ${host} is not an address of this machine. Set ${hostVariable} to one that is, 127.0.0.1 or 0.0.0.0 say.`;
    if (code === "ENOTFOUND" || code === "EAI_AGAIN")
      return `${hostVariable}: the name ${host} cannot be resolved.`;
    return `${hostVariable}, ${portVariable}: ${message}`;
  }
  server.close();
  await once(server, "close");
  return undefined;
}

interface PrepareOptions {
  readonly production: boolean;
  readonly withDemoData: boolean;
}

/**
 * Brings the schema up to date, or checks in production that it is, and returns the key of page tokens. Throws a
 * `StartError` when the database cannot be used.
 */
export async function prepareDatabase(
  database: Database,
  { production, withDemoData }: PrepareOptions,
): Promise<Uint8Array> {
  try {
    if (production) await database.assertMigrated();
    else await database.migrate();
    if (withDemoData) await loadDemoData(database);
    return await database.signingKey();
  } catch (cause) {
    const { message } =
      cause instanceof PrivacyError && cause.cause instanceof Error ? cause.cause : (cause as Error);
    throw new StartError(`The database ${database.describe()} cannot be used: ${message}`, { cause });
  }
}
