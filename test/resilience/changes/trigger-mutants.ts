import pg from "pg";

/** A change of a trigger function's text. */
interface TriggerMutant {
  readonly name: string;
  readonly search: string;
  readonly replacement: string;
}

/** Change logs that log too much or too little. */
export const triggerMutants = {
  /** Logs that a user is gone although the user was unknown. */
  "an erasure of an unknown user is logged": {
    name: "log_users",
    search: "from old_rows o where o.user_name <> ''",
    replacement: "from old_rows o",
  },
  /** Logs no follow that a block removes. */
  "follows that a block removes are not logged": {
    name: "log_follows",
    search: "when 'DELETE' then",
    replacement: "when 'DELETE' then if cause in ('user', 'import') then return null; end if;",
  },
} satisfies Record<string, TriggerMutant>;

export type TriggerMutantName = keyof typeof triggerMutants;

export function isTriggerMutant(name: string | undefined): name is TriggerMutantName {
  return name !== undefined && name in triggerMutants;
}

/** Replaces a trigger function of a migrated database. */
export async function replaceTrigger(url: string, mutant: TriggerMutantName): Promise<void> {
  const { name, search, replacement } = triggerMutants[mutant];
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const {
      rows: [found],
    } = await client.query<{ text: string }>("select pg_get_functiondef($1::regproc) as text", [name]);
    if (!found?.text.includes(search))
      throw new Error(`the function ${name} does not contain what is replaced`);
    await client.query(found.text.replace(search, replacement));
  } finally {
    await client.end();
  }
}
