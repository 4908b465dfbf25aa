import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { type Browser, chromium } from "playwright-core";

const names = ["chromium", "chromium-browser", "google-chrome"];

/**
 * Starts a headless browser. Undefined where none is installed; why is said. A CI machine must have one.
 */
export async function startBrowser(): Promise<Browser | undefined> {
  const paths = (process.env.PATH ?? "").split(delimiter);
  const executablePath = paths.flatMap((path) => names.map((name) => join(path, name))).find(existsSync);
  if (executablePath !== undefined) return await chromium.launch({ executablePath });
  const reason = "neither chromium nor google-chrome is installed";
  if (process.env.CI) throw new Error(`the browser tests cannot run, because ${reason}`);
  console.log(`Tests in a browser are skipped, because ${reason}.`);
  return undefined;
}
