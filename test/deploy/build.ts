import { chmodSync, cpSync, linkSync, mkdirSync, mkdtempSync, readdirSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, delimiter, join, resolve } from "node:path";
import { install } from "../support/registry.ts";
import { image, readCopy, type Stage } from "./image.ts";

/** How long a step may take: nothing else runs meanwhile. */
const stepMs = 100_000;
/** How this machine reaches its registry, and where it keeps what it fetched. */
const network = Object.fromEntries(
  Object.entries(process.env).filter(([name]) =>
    /^(HOME|NODE_EXTRA_CA_CERTS|\w+_PROXY|npm_config_registry)$/i.test(name),
  ),
);

/** An image whose steps were carried out in folders of this machine. */
export interface BuiltImage {
  /** Where all stages lie. */
  readonly folder: string;
  /** The working directory of the last stage. */
  readonly workingDirectory: string;
  /** What its processes find in their environment, with a PATH to its Node. */
  readonly environment: Readonly<Record<string, string>>;
}

/**
 * Carries out the steps of `deploy/Dockerfile` in empty folders, with nothing in the environment but what they set and the
 * way to the registry: a stand-in for a container engine. The base image is a folder with this Node, and npm.
 */
export function buildImage(): BuiltImage {
  const folder = mkdtempSync(join(tmpdir(), "privacy-control-image-"));
  // Others than the user who builds must get in.
  chmodSync(folder, 0o755);
  mkdirSync(join(folder, "bin"));
  placeNode(join(folder, "bin", "node"));
  const PATH = [join(folder, "bin"), "/usr/local/bin", "/usr/bin", "/bin"].join(delimiter);
  let built = { workingDirectory: "/", environment: {} as Record<string, string> };
  for (const [index, stage] of image.stages.entries()) {
    const root = join(folder, stage.name ?? String(index));
    mkdirSync(root);
    built = runStage(stage, root, folder, PATH);
  }
  return { folder, ...built };
}

function runStage(stage: Stage, root: string, folder: string, PATH: string) {
  let workingDirectory = root;
  const environment: Record<string, string> = { PATH };
  for (const { name, rest } of stage.instructions) {
    if (name === "WORKDIR") {
      workingDirectory = join(root, rest);
      mkdirSync(workingDirectory, { recursive: true });
    } else if (name === "ENV") {
      for (const pair of rest.split(" ")) {
        const [key = "", value = ""] = pair.split("=");
        environment[key] = value;
      }
    } else if (name === "COPY") {
      copy(rest, folder, workingDirectory);
    } else if (name === "RUN") {
      const env = { ...network, ...environment };
      install("sh", ["-c", rest], { cwd: workingDirectory, env, timeout: stepMs });
    } else if (!["USER", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK", "CMD"].includes(name)) {
      throw new Error(`not understood: ${name} ${rest}`);
    }
  }
  return { workingDirectory, environment };
}

// As Docker does: of a folder its contents, into the target; of a file itself.
function copy(rest: string, folder: string, workingDirectory: string): void {
  const { stage, sources, target } = readCopy(rest);
  for (const source of sources) {
    const from = stage === undefined ? resolve(source) : join(folder, stage, source);
    const to = join(workingDirectory, target);
    const isFolder = statSync(from).isDirectory();
    cpSync(from, isFolder || !target.endsWith("/") ? to : join(to, basename(source)), { recursive: true });
  }
}

// Where the home of whoever builds is closed to others, the Node of node_modules is too.
function placeNode(path: string): void {
  try {
    linkSync(process.execPath, path);
  } catch {
    cpSync(process.execPath, path);
  }
  chmodSync(path, 0o755);
}

/** The names of the packages in a `node_modules`, those within packages too. */
export function packagesIn(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((path) => /(?:^|node_modules\/)(?:@[^/@]+\/)?[^/.@]+\/package\.json$/.test(path))
    .map((path) => path.replace(/\/package\.json$/, ""));
}
