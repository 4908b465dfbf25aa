import { execFile } from "node:child_process";
import { mkdirSync } from "node:fs";
import { promisify } from "node:util";
import { expect } from "chai";
import type { Browser, BrowserContext, Page } from "playwright-core";
import {
  expectAccessible,
  expectNoSidewaysScrolling,
  startBrowser,
  watchPage,
} from "../../support/browser.ts";
import { startService, type TestService } from "../../support/service.ts";

const alice = { id: "a11ce000-0000-4000-8000-000000000001", userName: "alice" };
const spam = { id: "777e7777-e77b-77d7-a777-777777777777", userName: "spam_account" };
/** The other users of the examples. */
const others = [
  { id: "888e8888-e88b-88d8-a888-888888888888", userName: "loud" },
  { id: "999e9999-e99b-99d9-a999-999999999999", userName: "third" },
];
const screenshots = "build/screenshots";

/** The documents' colours; that of PATCH is ours. */
const badges = {
  get: "rgb(26, 127, 55)",
  post: "rgb(9, 105, 218)",
  delete: "rgb(207, 34, 46)",
  patch: "rgb(154, 103, 0)",
};

describe("the API page in a browser", function () {
  this.timeout(240_000);
  let service: TestService;
  let browser: Browser | undefined;
  let context: BrowserContext;
  let page: Page;
  let watched: ReturnType<typeof watchPage>;

  before(async function () {
    browser = await startBrowser(this);
    context = await browser.newContext();
    service = await startService();
    await service.graph.upsertUsers({ users: [alice, spam] }, await service.acting());
    mkdirSync(screenshots, { recursive: true });
  });
  after(async () => {
    await browser?.close();
    await service?.stop(1_000);
  });

  beforeEach(async () => {
    page = await context.newPage();
    await page.setViewportSize({ width: 1280, height: 900 });
    watched = watchPage(page);
  });
  afterEach(async () => {
    await page?.close();
    expect(watched.complaints, "what the browser complained of").to.eql([]);
    for (const url of watched.requested) expect(new URL(url).origin).to.equal(service.publicUrl);
  });

  async function open(path = "/docs"): Promise<void> {
    await page.goto(service.publicUrl + path);
    await page.locator(".opblock").first().waitFor();
  }

  for (const path of ["/docs", "/docs/"]) {
    it(`shows every operation once at ${path}, and leads nowhere else`, async () => {
      await open(path);
      const operations = await documented();
      const originals = operations.filter((operation) => operation["x-alias-of"] === undefined);
      const shown = await page.locator(".opblock-summary").evaluateAll((elements) =>
        elements.map((element) =>
          [".opblock-summary-method", ".opblock-summary-path"]
            // Zero-width spaces let long paths break.
            .map((part) => element.querySelector(part)?.textContent?.replaceAll("\u200b", ""))
            .join(" "),
        ),
      );
      expect(shown).to.have.members(originals.map(({ name }) => name));
      expect(originals).to.have.length.below(operations.length);
      expect(await page.title()).to.equal("Privacy Control API");
      await page.screenshot({ path: `${screenshots}/page.png`, fullPage: true });
      for (const address of await addresses())
        expect(new URL(address, page.url()).origin, address).to.equal(service.publicUrl);
    });
  }

  it("names the aliases of an operation in a sentence", async () => {
    await open();
    const operations = await documented();
    const aliases = operations.filter((operation) => operation["x-alias-of"] !== undefined);
    expect(aliases).to.have.length.above(5);
    for (const alias of aliases) {
      const operation = await expandOnce(alias["x-alias-of"] ?? "");
      expect(await operation.locator(".opblock-description").textContent()).to.include(
        `Also at ${alias.name}`,
      );
    }
  });

  it("describes the answers that any call can get once, and leads there from every operation", async () => {
    await open();
    const shared = page.locator("#any-call tbody tr");
    expect(await shared.locator("th").allTextContents()).to.include.members([
      "TOKEN_EXPIRED",
      "RATE_LIMITED",
    ]);
    const operation = await expandOnce("blockUser");
    const statuses = await operation
      .locator(".response")
      .evaluateAll((rows) => rows.map((row) => row.getAttribute("data-code")));
    expect(statuses).to.eql(["200", "400", "404", "422", "default"]);
    expect(await operation.locator("[data-code=default]").textContent()).to.include("401, 413, 415, 429");
    await operation.locator("[data-code=default] a").click();
    await page.waitForURL("**#any-call");
    expect(await operation.evaluate(({ clientHeight }) => clientHeight)).to.be.below(2_800);
  });

  it("shows the Markdown of every answer as text, and describes fields that may be null", async () => {
    await open();
    const answers = (await expandOnce("previewAccess")).locator(".responses-table");
    const text = await answers.innerText();
    expect(text).not.to.include("`");
    expect(text).to.match(/cause.*or null.*Which of the acting user's choices decides it/s);
  });

  it("has an example of every operation that can be run as it is shown", async () => {
    await open();
    await service.graph.upsertUsers({ users: others }, await service.acting());
    const env = { ...process.env, TOKEN: await service.userToken(alice.id) };
    for (const { operationId, responses } of (await documented()).filter((one) => !one["x-alias-of"])) {
      const operation = await expandOnce(operationId);
      const [command = "", answer] = await operation.locator(".opblock-description pre").allTextContents();
      // What an update changes must be there.
      if (operationId.startsWith("update"))
        await page.request.post(command.match(/'(http[^']+)'/)?.[1] ?? "", {
          headers: { authorization: `Bearer ${env.TOKEN}` },
        });
      const { stdout } = await promisify(execFile)("bash", ["-c", command.replace("curl", "curl -s")], {
        env,
      });
      const { message } = JSON.parse(stdout);
      expect(message, `${command}\n${stdout}`).to.equal(responses[200]?.description);
      if (answer !== undefined) expect(JSON.parse(answer).message).to.equal(message);
    }
  });

  it("is used with the keyboard alone", async () => {
    await open();
    const isFocused = (selector: string) =>
      page.evaluate<boolean>(`document.activeElement.matches(${JSON.stringify(selector)})`);
    const tabTo = async (selector: string) => {
      for (let i = 0; i < 40; i++) {
        await page.keyboard.press("Tab");
        if (await isFocused(selector)) return;
      }
      throw new Error(`${selector} cannot be reached`);
    };
    await tabTo("[id$=-blockUser] .opblock-summary-control");
    await page.keyboard.press("Enter");
    await tabTo("[id$=-blockUser] .try-out__btn");
    await page.keyboard.press("Space");
    await tabTo("[id$=-blockUser] [placeholder=userId]");
    await tabTo("[id$=-blockUser] .execute");
    await tabTo("[id$=-blockUser] [data-code=default] a");
  });

  it("is accessible in light and dark, with operations closed, open and being tried", async () => {
    await open();
    await expectAccessible(page);
    for (const operationId of ["updateMute", "listRelationships", "updatePrivacyExceptions"]) {
      const operation = await expandOnce(operationId);
      if (operationId !== "updateMute") await operation.locator(".try-out__btn").click();
    }
    await expectAccessible(page);
  });

  it("has the methods in the documents' colours, with text that can be read on them", async () => {
    await open();
    for (const [method, color] of Object.entries(badges)) {
      const badge = page.locator(`.opblock-${method} .opblock-summary-method`).first();
      const style = await badge.evaluate((element) => {
        const { backgroundColor, color } = element.ownerDocument.defaultView.getComputedStyle(element);
        return { background: backgroundColor, text: color };
      });
      expect(style, method).to.eql({ background: color, text: "rgb(255, 255, 255)" });
      expect(contrast(style.background, style.text), method).to.be.above(4.5);
    }
  });

  it("blocks a user with a minted token, and shows the answer", async () => {
    await open();
    await authorize(await service.userToken(alice.id));
    const operation = await expand("blockUser");
    await operation.locator("input[placeholder='userId']").fill(spam.id);
    await operation.locator(".execute").click();
    const answer = operation.locator(".live-responses-table");
    await answer.waitFor();
    expect(await answer.locator("tbody .response-col_status").textContent()).to.match(/^200/);
    expect(await answer.textContent())
      .to.include("User blocked successfully")
      .and.include("spam_account");
    await operation.screenshot({ path: `${screenshots}/block.png` });
    const { json } = await service.rest("GET", "/api/v1/e-social/privacy-control/blocked", { as: alice.id });
    expect(json.data.map(({ user }: { user: { id: string } }) => user.id)).to.eql([spam.id]);
    for (const address of await addresses())
      expect(new URL(address, page.url()).origin, address).to.equal(service.publicUrl);
  });

  it("sends the body of a PATCH as in the example", async () => {
    await open();
    await authorize(await service.userToken(alice.id));
    const operation = await expand("updatePrivacySetting");
    const body = operation.locator("textarea.body-param__text");
    expect(JSON.parse(await body.inputValue())).to.eql({ setting: "last_seen", value: "all" });
    await body.fill('{"setting": "groups", "value": "none"}');
    await operation.locator(".execute").click();
    await operation.locator(".live-responses-table").waitFor();
    const { json } = await service.rest("GET", "/users/me/privacy", { as: alice.id });
    expect(json.data.groups).to.equal("none");
  });

  for (const width of [360, 768])
    it(`fits ${width} pixels`, async () => {
      await page.setViewportSize({ width, height: 740 });
      await open();
      await expand("blockUser");
      await expand("updatePrivacySetting");
      await page.screenshot({ path: `${screenshots}/page-${width}.png`, fullPage: true });
      await expectNoSidewaysScrolling(page);
    });

  interface Documented {
    readonly name: string;
    readonly operationId: string;
    readonly "x-alias-of"?: string;
    readonly responses: Record<number, { readonly description: string }>;
  }

  async function documented(): Promise<Documented[]> {
    const { paths } = (await (await fetch(`${service.publicUrl}/openapi.json`)).json()) as {
      paths: Record<string, Record<string, Omit<Documented, "name">>>;
    };
    return Object.entries(paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => ({
        ...operation,
        name: `${method.toUpperCase()} ${path}`,
      })),
    );
  }

  async function authorize(token: string): Promise<void> {
    await page.locator(".scheme-container .authorize").click();
    await page.locator(".auth-container input").fill(token);
    await page.locator(".auth-btn-wrapper .authorize").click();
    await page.locator(".btn-done").click();
  }

  /** Opens an operation, if it is closed. */
  async function expandOnce(operationId: string) {
    const operation = page.locator(`[id$="-${operationId}"]`);
    const control = operation.locator(".opblock-summary-control");
    if ((await control.getAttribute("aria-expanded")) !== "true") await control.click();
    await operation.locator(".opblock-body .responses-table").first().waitFor();
    return operation;
  }

  async function expand(operationId: string) {
    const operation = await expandOnce(operationId);
    await operation.locator(".try-out__btn").click();
    return operation;
  }

  function addresses(): Promise<string[]> {
    return page
      .locator("[src], [href]")
      .evaluateAll((elements) =>
        elements.map((element) => element.getAttribute("src") ?? element.getAttribute("href") ?? ""),
      );
  }
});

/** The contrast of two colours (WCAG 2.2, relative luminance). */
function contrast(one: string, other: string): number {
  const [light = 0, dark = 0] = [luminance(one), luminance(other)].sort((a, b) => b - a);
  return (light + 0.05) / (dark + 0.05);
}

function luminance(color: string): number {
  const [red = 0, green = 0, blue = 0] = (color.match(/\d+/g) ?? []).map((text) => {
    const part = Number(text) / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}
