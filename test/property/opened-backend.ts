import { type Backend, databaseOn, type openDatabase } from "../../src/store/database.ts";
import { openEmbedded } from "../../src/store/embedded.ts";
import { openPostgresql } from "../../src/store/postgresql.ts";

/** Opens the store as the service does, and keeps the backend: for changes that no call makes. */
export class OpenedBackend {
  #backend: Backend | undefined;

  readonly open: typeof openDatabase = async ({ url, dataDir = "", log = () => {}, ...options }) => {
    this.#backend =
      url === undefined ? await openEmbedded(dataDir, log, options) : await openPostgresql(url, log, options);
    return databaseOn(this.#backend);
  };

  get backend(): Backend {
    if (this.#backend === undefined) throw new Error("the store is not open");
    return this.#backend;
  }
}
