import { execFile } from "node:child_process";
import { promisify } from "node:util";

/** Debian's Python, for which gRPC is packaged, before any other. */
const pythons = ["/usr/bin/python3", "python3"];

/** A Python that can import a module; undefined where none can. */
export async function findPython(module: string): Promise<string | undefined> {
  for (const python of pythons) {
    const found = await promisify(execFile)(python, ["-c", `import ${module}`]).catch(() => undefined);
    if (found !== undefined) return python;
  }
  return undefined;
}
