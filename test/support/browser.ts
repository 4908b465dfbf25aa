import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect } from "chai";
import { type Browser, chromium, type Page } from "playwright-core";
import { programOrSkip } from "./programs.ts";

/** Starts a headless browser. Skips the test or hook where none is installed; throws on a CI machine. */
export async function startBrowser(test: Mocha.Context): Promise<Browser> {
  const executablePath = programOrSkip(test, "chromium", "chromium-browser", "google-chrome");
  return await chromium.launch({ executablePath });
}

/** Returns what the console of a page complains of from now on, and the addresses that it asks for. */
export function watchPage(page: Page): { readonly complaints: string[]; readonly requested: string[] } {
  const complaints: string[] = [];
  const requested: string[] = [];
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) complaints.push(message.text());
  });
  page.on("pageerror", (failure) => complaints.push(String(failure)));
  page.on("request", (request) => requested.push(request.url()));
  return { complaints, requested };
}

interface Violation {
  readonly id: string;
  readonly nodes: readonly { readonly html: string }[];
}

const axe = readFileSync(fileURLToPath(import.meta.resolve("axe-core/axe.min.js")), "utf8");

/** Throws when axe-core finds that a page is not accessible, in light or in dark. */
export async function expectAccessible(page: Page): Promise<void> {
  for (const colorScheme of ["light", "dark"] as const) {
    await page.emulateMedia({ colorScheme });
    await page.evaluate(axe);
    const { violations } = (await page.evaluate("axe.run()")) as { violations: Violation[] };
    const found = violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" ")}`);
    expect(found, colorScheme).to.eql([]);
  }
  await page.emulateMedia({ colorScheme: "light" });
}

/** Throws when a page has to be scrolled sideways. */
export async function expectNoSidewaysScrolling(page: Page): Promise<void> {
  const [content, view] = await page.evaluate<[number, number]>(
    "[document.documentElement.scrollWidth, innerWidth]",
  );
  expect(content).to.be.at.most(view);
}
