import { cursorTo } from "node:readline";
import type { WriteStream } from "node:tty";

const width = 30;

/** Shows the progress of a long run: a bar on a terminal, elsewhere a line for every tenth. */
export class ProgressBar {
  readonly #out: WriteStream;
  #tenths = 0;

  constructor(out: WriteStream) {
    this.#out = out;
  }

  /** `fraction`: from 0 to 1. */
  show(fraction: number, text: string): void {
    const percent = `${Math.floor(fraction * 100)} %`.padStart(5);
    if (this.#out.isTTY) {
      const full = Math.round(fraction * width);
      cursorTo(this.#out, 0);
      this.#out.write(`  ${"█".repeat(full)}${"░".repeat(width - full)} ${percent}  ${text} `);
    } else if (Math.floor(fraction * 10) > this.#tenths) {
      this.#tenths = Math.floor(fraction * 10);
      this.#out.write(`${percent}  ${text}\n`);
    }
  }

  end(): void {
    if (this.#out.isTTY) this.#out.write("\n");
  }
}
