import { mkdirSync } from "node:fs";
import { expect } from "chai";
import type { Browser, BrowserContext, Page } from "playwright-core";
import { startBrowser } from "../../support/browser.ts";
import { startService, type TestService } from "../../support/service.ts";

const alice = { id: "a11ce000-0000-4000-8000-000000000001", userName: "alice" };
const spam = { id: "777e7777-e77b-77d7-a777-777777777777", userName: "spam_account" };
const screenshots = "build/screenshots";

/** The documents' colours; that of PATCH is ours. */
const badges = {
  get: "rgb(26, 127, 55)",
  post: "rgb(9, 105, 218)",
  delete: "rgb(207, 34, 46)",
  patch: "rgb(154, 103, 0)",
};

describe("the API page in a browser", function () {
  this.timeout(60_000);
  let service: TestService;
  let browser: Browser | undefined;
  let context: BrowserContext;
  let page: Page;
  const complaints: string[] = [];
  const requested: string[] = [];

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
    complaints.splice(0);
    requested.splice(0);
    page = await context.newPage();
    await page.setViewportSize({ width: 1280, height: 900 });
    page.on("console", (message) => {
      if (["error", "warning"].includes(message.type())) complaints.push(message.text());
    });
    page.on("pageerror", (failure) => complaints.push(String(failure)));
    page.on("request", (request) => requested.push(request.url()));
  });
  afterEach(async () => {
    await page?.close();
    expect(complaints, "what the browser complained of").to.eql([]);
    for (const url of requested) expect(new URL(url).origin).to.equal(service.publicUrl);
  });

  async function open(path = "/docs"): Promise<void> {
    await page.goto(service.publicUrl + path);
    await page.locator(".opblock").first().waitFor();
  }

  for (const path of ["/docs", "/docs/"]) {
    it(`shows every operation at ${path}, and leads nowhere else`, async () => {
      await open(path);
      const { paths } = (await (await fetch(`${service.publicUrl}/openapi.json`)).json()) as {
        paths: Record<string, object>;
      };
      const documented = Object.entries(paths).flatMap(([at, methods]) =>
        Object.keys(methods).map((method) => `${method.toUpperCase()} ${at}`),
      );
      const shown = await page.locator(".opblock-summary").evaluateAll((elements) =>
        elements.map((element) =>
          [".opblock-summary-method", ".opblock-summary-path"]
            // Zero-width spaces let long paths break.
            .map((part) => element.querySelector(part)?.textContent?.replaceAll("\u200b", ""))
            .join(" "),
        ),
      );
      expect(shown).to.have.members(documented);
      expect(await page.title()).to.equal("Privacy Control API");
      await page.screenshot({ path: `${screenshots}/page.png`, fullPage: true });
      for (const address of await addresses())
        expect(new URL(address, page.url()).origin, address).to.equal(service.publicUrl);
    });
  }

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

  it("fits a phone", async () => {
    await page.setViewportSize({ width: 360, height: 740 });
    await open();
    await expand("blockUser");
    await expand("updatePrivacySetting");
    await page.screenshot({ path: `${screenshots}/phone.png`, fullPage: true });
    expect(await page.locator("html").evaluate(({ scrollWidth }) => scrollWidth)).to.be.at.most(360);
  });

  async function authorize(token: string): Promise<void> {
    await page.locator(".scheme-container .authorize").click();
    await page.locator(".auth-container input").fill(token);
    await page.locator(".auth-btn-wrapper .authorize").click();
    await page.locator(".btn-done").click();
  }

  async function expand(operationId: string) {
    const operation = page.locator(`[id$="-${operationId}"]`);
    await operation.locator(".opblock-summary-control").click();
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
