import type pg from "pg";
import { audiences, privacySettings } from "../../../src/domain/settings.ts";
import { type Size, writers } from "../data/sizes.ts";
import { specialUsers, userId } from "../data/users.ts";
import type { Comparison, Contender } from "../harness/comparison.ts";
import type { Server } from "../harness/processes.ts";
import type { Setting } from "../setting.ts";
import { newBlocks } from "./block.ts";
import { type Line, restLoads } from "./rest.ts";

/** A service and its database. */
interface Instance {
  readonly server: Server;
  readonly client: pg.Client;
}

/** The same service on databases of its own. */
interface Instances {
  /** No trigger logs changes. */
  readonly unlogged: Instance;
  readonly logged: Instance;
  /** Somebody follows the changes. */
  readonly watched: Instance;
}

/** How often a writer changes a setting before the same requests are made again. */
const passes = 20;

/** What is left of the rate of changes with the log, and with a follower of it. */
export async function changesCostRows(
  setting: Pick<Setting, "folder" | "serviceToken" | "userToken">,
  { unlogged, logged, watched }: Instances,
  size: Size,
): Promise<Comparison[]> {
  const patch = await restLoads(setting, "changes", settingChanges(size), {
    needle: '"status":true',
    connections: 16,
    paired: false,
  });
  const blocks = (name: string, instance: Instance) => newBlocks(setting, { name, size, ...instance });
  return [
    ...compared("block", "BlockUser", blocks),
    ...compared("patch", "PATCH a setting", (name, { server }) => patch(name, server)),
  ];

  function compared(
    id: string,
    title: string,
    contender: (name: string, instance: Instance) => Contender,
  ): Comparison[] {
    const without = contender("without the log", unlogged);
    const row = (what: string, ours: Contender, least: number): Comparison => ({
      id: `${id}-${what}`,
      title: `${title}, 16 in flight, ${what}`,
      figure: "rate",
      unit: { name: "changes", perCall: 1 },
      ours,
      // A contender of its own: measurements are kept by contender.
      peers: [{ contender: { ...without }, goal: { atLeast: least } }],
    });
    return [
      row("logged", contender("logged", logged), 0.88),
      row("followed", contender("followed", watched), 0.8),
    ];
  }
}

/** Requests that change a setting each: no writer chooses the same audience twice in a row. */
function settingChanges(size: Size): Line[] {
  const { firstWriter } = specialUsers(size);
  const count = writers / 3;
  return Array.from({ length: count * passes }, (_, n): Line => {
    const pass = Math.floor(n / count);
    const body = {
      setting: privacySettings[n % privacySettings.length],
      value: audiences[(n + pass) % audiences.length],
    };
    return {
      method: "PATCH",
      path: "/users/me/privacy",
      user: userId(firstWriter + count + (n % count)),
      body: JSON.stringify(body),
    };
  });
}
