import { once } from "node:events";
import { createServer } from "node:net";
import { StartError } from "./start-error.ts";

/** The ports that a service is to open, by the variables that name them. */
interface Ports {
  readonly host: string;
  readonly httpPort: number;
  readonly grpcPort: number;
  readonly admin: { readonly host: string; readonly port: number };
}

/**
 * Throws a `StartError` that names every variable whose port or address cannot be listened on. To be called first
 * at the start. The ports are free again afterwards.
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
