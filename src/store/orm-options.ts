import { Migrator } from "@mikro-orm/migrations";
import { BlockEntity, FollowEntity, MuteEntity } from "./entities/edges.ts";
import { ImportEntity, ServiceImportEntity } from "./entities/import.ts";
import { PrivacyExceptionEntity } from "./entities/privacy-exception.ts";
import { PrivacySettingEntity } from "./entities/privacy-setting.ts";
import { SigningKeyEntity } from "./entities/signing-key.ts";
import { UserEntity } from "./entities/user.ts";
import { migrationsList } from "./migrations/list.ts";

/** What MikroORM is told whatever the backend. */
export function ormOptions(log: (message: string) => void) {
  return {
    entities: [
      UserEntity,
      FollowEntity,
      BlockEntity,
      MuteEntity,
      PrivacySettingEntity,
      PrivacyExceptionEntity,
      ImportEntity,
      ServiceImportEntity,
      SigningKeyEntity,
    ],
    extensions: [Migrator],
    logger: log,
    colors: false,
    migrations: {
      migrationsList,
      tableName: "migrations",
      snapshot: false,
      silent: true,
      // Switching the checks off needs a superuser on PostgreSQL.
      disableForeignKeys: false,
      // Makes the migrator look for its table inside the transaction: instances that start at once would collide on
      // it outside of the lock, and PGlite's one connection would wait for itself.
      includeWildcardSchema: true,
    },
  };
}
