import { mkdirSync } from "node:fs";
import { expect } from "chai";
import type { Browser, Page } from "playwright-core";
import { ErrorReasonSchema } from "../../../gen/nexgate/privacy/v1/error_reason_pb.ts";
import { PrivacyControlService } from "../../../gen/nexgate/privacy/v1/privacy_control_service_pb.ts";
import { service } from "../../../src/call/service.ts";
import {
  type Decision,
  decideAccess,
  decisionTable,
  type Effect,
  effects,
  type Interaction,
} from "../../../src/domain/access.ts";
import { audiences, privacySettings } from "../../../src/domain/settings.ts";
import type { UserId } from "../../../src/domain/users.ts";
import { apiPage } from "../../../src/rest/docs/api-page.ts";
import {
  expectAccessible,
  expectNoSidewaysScrolling,
  startBrowser,
  watchPage,
} from "../../support/browser.ts";
import { startTestServer, type TestServer } from "../../support/transport-server.ts";
import { testGateway } from "../../unit/rest/servers.ts";

const screenshots = "build/screenshots";
const interactions = Object.keys(decisionTable) as Interaction[];

/** A case as the address names it. */
type Case = Record<string, string>;

/** What the page says of one interaction. */
interface Shown {
  readonly interaction: string;
  readonly effect: string;
  readonly cause: string;
  readonly notes: string[];
}

function product(choices: Record<string, readonly string[]>): Case[] {
  return Object.entries(choices).reduce<Case[]>(
    (cases, [name, values]) => cases.flatMap((one) => values.map((value) => ({ ...one, [name]: value }))),
    [{}],
  );
}

const sameForAll = (audience: string, excepted: string): Case =>
  Object.fromEntries(
    privacySettings.flatMap((setting) => [
      [setting, audience],
      [`${setting}_exception`, excepted],
    ]),
  );

/** Every combination, with the same audience and exception for all settings; and each setting alone. */
const cases: Case[] = [
  ...product({
    viewer: ["user", "nobody", "self"],
    blocking: ["no", "yes"],
    blockedBy: ["no", "yes"],
    muting: ["no", "content", "notifications", "both"],
    contact: ["no", "yes"],
    audience: audiences,
    excepted: ["no", "yes"],
  }).map(({ audience = "", excepted = "", ...rest }) => ({ ...rest, ...sameForAll(audience, excepted) })),
  ...privacySettings.flatMap((setting) => [
    { [setting]: "none" },
    { [setting]: "contact_blacklist", contact: "yes" },
    { [setting]: "contact_blacklist", contact: "yes", [`${setting}_exception`]: "yes" },
  ]),
  { mutedBy: "yes" },
  { mutedBy: "yes", blocking: "yes", muting: "both" },
];

function expected(one: Case, interaction: Interaction): Decision {
  const { audience: setting } = decisionTable[interaction];
  const isSignedIn = one.viewer !== "nobody";
  const muted = { VIEW_CONTENT: "content", RECEIVE_NOTIFICATION: "notifications" }[interaction as string];
  const viewer = { nobody: null, self: "owner" }[one.viewer ?? "user"];
  return decideAccess(
    {
      viewer: (viewer === undefined ? "viewer" : viewer) as UserId | null,
      owner: "owner" as UserId,
      interaction,
    },
    {
      known: true,
      blocking: isSignedIn && one.blocking === "yes",
      blockedBy: isSignedIn && one.blockedBy === "yes",
      muting: isSignedIn && muted !== undefined && ["both", muted].includes(one.muting ?? "no"),
      audience: audiences.find((audience) => setting !== null && audience === one[setting]) ?? "all",
      contact: isSignedIn && one.contact === "yes",
      excepted: isSignedIn && one[`${setting}_exception`] === "yes",
    },
  );
}

describe("the page of decisions in a browser", function () {
  this.timeout(120_000);
  let browser: Browser | undefined;
  let server: TestServer;
  let page: Page;
  let watched: ReturnType<typeof watchPage>;

  before(async function () {
    browser = await startBrowser(this);
    const { routes, handle } = testGateway([service(PrivacyControlService, {})]).gateway;
    const resources = await apiPage(routes, ErrorReasonSchema);
    server = await startTestServer({ listener: "public", rest: handle, resources });
    mkdirSync(screenshots, { recursive: true });
  });
  after(async () => {
    await browser?.close();
    await server?.stop();
  });
  beforeEach(async () => {
    page = await (browser as Browser).newPage({ viewport: { width: 1280, height: 900 } });
    watched = watchPage(page);
  });
  afterEach(async () => {
    await page.close();
    expect(watched.complaints, "what the browser complained of").to.eql([]);
    for (const url of watched.requested) expect(new URL(url).origin).to.equal(server.listener.url);
  });

  async function open(fragment = "", path = "/docs/decisions"): Promise<void> {
    await page.goto(`${server.listener.url}${path}${fragment}`);
    await page.locator("#decisions tbody tr").first().waitFor();
  }

  /** What the page says of each case, one after the other. */
  async function shown(all: readonly Case[]): Promise<Shown[][]> {
    const fragments = all.map((one) => `#${new URLSearchParams(one)}`);
    return await page.evaluate<Shown[][]>(`${JSON.stringify(fragments)}.map((fragment) => {
      history.replaceState(null, "", fragment);
      dispatchEvent(new HashChangeEvent("hashchange"));
      return [...document.querySelectorAll("#decisions tbody tr")].map((row) => ({
        ...row.dataset,
        notes: [...row.querySelectorAll(".outcome p")].map((note) => note.textContent),
      }));
    })`);
  }

  /** How many decisions of the page are not those of the service. */
  async function differences(of = cases): Promise<number> {
    const said = await shown(of);
    const wrong = of.flatMap((one, index) => {
      const rows = said[index] ?? [];
      expect(rows.map(({ interaction }) => interaction)).to.eql(interactions);
      return rows.filter(({ interaction, effect, cause }) => {
        const decision = expected(one, interaction as Interaction);
        return decision.effect !== effect || (decision.cause ?? "") !== cause;
      });
    });
    return wrong.length;
  }

  it("decides every case as the service does", async () => {
    expect(cases).to.have.length.above(700);
    await open();
    expect(await differences()).to.equal(0);
  });

  for (const [what, file, from, to] of [
    ["cell of the table", "access", 'VIEW_PROFILE: { block: "LIMIT"', 'VIEW_PROFILE: { block: "HIDE"'],
    ["order of causes", "access", "effects.indexOf(effect) >", "effects.indexOf(effect) >="],
    ["meaning of exceptions", "settings", "facts.contact && !facts.excepted", "facts.contact"],
  ] as const)
    it(`is compared with the service: another ${what} is noticed`, async () => {
      await page.route(`**/docs/decisions/${file}.ts`, async (route) => {
        const response = await route.fetch();
        const source = await response.text();
        expect(source).to.include(from);
        await route.fulfill({ response, body: source.replace(from, to) });
      });
      await open();
      const sample = cases.filter((_, index) => index % 5 === 0);
      expect(await differences(sample)).to.be.above(0);
    });

  it("names every other cause of the same or of a weaker effect", async () => {
    await open();
    const combined = cases.filter(({ viewer }) => viewer === "user");
    const said = await shown(combined);
    const strength = (effect: string) => effects.indexOf(effect as Effect);
    for (const [index, one] of combined.entries())
      for (const { interaction, effect, cause, notes } of said[index] ?? []) {
        const alone = [
          ["BLOCKING", { ...one, blockedBy: "no", muting: "no", ...sameForAll("all", "no") }],
          ["BLOCKED_BY", { ...one, blocking: "no", muting: "no", ...sameForAll("all", "no") }],
          ["AUDIENCE", { ...one, blocking: "no", blockedBy: "no", muting: "no" }],
          ["MUTING", { ...one, blocking: "no", blockedBy: "no", ...sameForAll("all", "no") }],
        ] as const;
        const applying = alone
          .map(([name, only]) => [name, expected(only, interaction as Interaction).effect] as const)
          .filter(([name, weaker]) => name !== cause && weaker !== "ALLOW");
        const ties = applying.filter(([, other]) => other === effect).map(([, other]) => `Also ${other}`);
        const weaker = applying.filter(([, other]) => strength(other) < strength(effect));
        expect(
          notes.map((note) => note.split(",")[0]),
          `${JSON.stringify(one)} ${interaction}`,
        ).to.eql([...ties, ...weaker.map(([, other]) => `Only ${other}`)]);
      }
  });

  it("highlights the cause that decides, and no other", async () => {
    await open("#blocking=yes&blockedBy=yes&last_seen=none");
    const wins = page.locator("#decisions .wins");
    expect(await wins.count()).to.equal(interactions.length);
    for (const cell of await wins.all()) expect(await cell.textContent()).to.match(/ decides$/);
    expect(await page.locator("tr[data-interaction=VIEW_LAST_SEEN] .applies").allTextContents()).to.eql([
      "DENY decides",
      "DENY",
      "DENY",
    ]);
  });

  it("is used with the keyboard alone, and announces the outcome", async () => {
    await open();
    const focused = () =>
      page.evaluate<string>("document.activeElement.name ?? document.activeElement.tagName");
    const order: string[] = [];
    for (let i = 0; i < 24; i++) {
      await page.keyboard.press("Tab");
      order.push(await focused());
      if (order.at(-1) === "blocking") await page.keyboard.press("Space");
      if (order.at(-1) === "muting") await page.keyboard.press("ArrowDown");
    }
    expect(order.filter((name) => name !== undefined && name !== "").slice(-18)).to.include.members([
      "viewer",
      "blocking",
      "blockedBy",
      "muting",
      "contact",
      "mutedBy",
      ...privacySettings,
      ...privacySettings.map((setting) => `${setting}_exception`),
    ]);
    const outcome = page.getByRole("status");
    expect(await outcome.textContent()).to.include("Denied, since the viewer blocks the owner: follow,");
    expect(new URL(page.url()).hash).to.equal("#blocking=yes&muting=content");
    expect(await page.locator("tr[data-effect=HIDE]").count()).to.equal(2);
  });

  it("keeps the case in its address, which leads back to it", async () => {
    await open("#viewer=nobody&status=none&unknown=1&groups=everyone", "/docs/decisions/");
    expect(await page.locator("input[name=status]:checked").inputValue()).to.equal("none");
    expect(await page.locator("input[name=groups]:checked").inputValue()).to.equal("all");
    expect(await page.locator("input[name=blocking]").isDisabled()).to.equal(true);
    await page.getByRole("button", { name: "Reset" }).click();
    expect(new URL(page.url()).hash).to.equal("");
    expect(await page.getByRole("status").textContent()).to.match(/^Allowed, since nothing restricts it/);
  });

  for (const width of [1280, 768, 390])
    it(`is accessible in light and dark, and fits ${width} pixels`, async () => {
      await page.setViewportSize({ width, height: 844 });
      await open("#blocking=yes&muting=both&last_seen=contacts");
      await expectAccessible(page);
      await expectNoSidewaysScrolling(page);
      await page.screenshot({ path: `${screenshots}/decisions-${width}.png`, fullPage: true });
    });
});
