import { type Browser, chromium } from "playwright-core";
import { programOrSkip } from "./programs.ts";

/** Starts a headless browser. Skips the test or hook where none is installed; throws on a CI machine. */
export async function startBrowser(test: Mocha.Context): Promise<Browser> {
  const executablePath = programOrSkip(test, "chromium", "chromium-browser", "google-chrome");
  return await chromium.launch({ executablePath });
}
