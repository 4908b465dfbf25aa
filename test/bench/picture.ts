import { isTime, type Row } from "./harness/results.ts";
import { goalText } from "./harness/statistics.ts";
import type { Report } from "./report.ts";

const title = "This service against its peers, in the same run";
const width = 980;
const barsFrom = 400;
const barsWidth = 440;
const rowHeight = 34;
const headHeight = 64;
const footHeight = 44;
/** Ratios from a tenth to a hundred, on a logarithmic scale on which twice and half look alike. */
const [least, most] = [0.1, 100];

/** Draws the ratios as bars that grow from 1 to either side, with their quartiles and goals, as SVG. */
export function picture({ rows, date, machine, versions, rounds }: Report): string {
  const height = headHeight + rows.length * rowHeight + footHeight;
  const one = place(1);
  const bottom = headHeight + rows.length * rowHeight;
  const lines = [0.1, 0.5, 1, 2, 10, 100].map(
    (ratio) =>
      `<line x1="${place(ratio)}" y1="${headHeight - 8}" x2="${place(ratio)}" y2="${bottom}" stroke="#d0d7de"/>` +
      text(place(ratio), headHeight - 14, `${ratio}×`, { anchor: "middle", size: 11, fill: "#57606a" }),
  );
  const footer = `${date}; ${machine.cores} cores of ${machine.processor}; Node ${versions.node}, PostgreSQL ${versions.postgresql}; ${rounds} alternating rounds`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif">`,
    `<title>${title}</title>`,
    `<rect width="${width}" height="${height}" fill="#ffffff"/>`,
    text(16, 26, title, { size: 16, weight: "bold" }),
    ...lines,
    `<line x1="${one}" y1="${headHeight - 8}" x2="${one}" y2="${bottom}" stroke="#24292f"/>`,
    ...rows.map((row, index) => bar(row, headHeight + index * rowHeight)),
    text(16, bottom + 26, footer, { size: 11, fill: "#57606a" }),
    "</svg>",
    "",
  ].join("\n");
}

function bar({ work, peer, ratio, goal, met, figure }: Row, top: number): string {
  const [from, to] = [place(1), place(ratio.median)];
  const middle = top + rowHeight / 2;
  const fill = met === undefined ? "#8c959f" : met ? "#2da44e" : "#bf8700";
  const goalAt = goal && place("atLeast" in goal ? goal.atLeast : goal.atMost);
  const sense = isTime(figure) ? ", less is better" : "";
  return [
    text(16, middle - 2, work, { size: 12 }),
    text(16, middle + 12, `against ${peer}${sense}`, { size: 11, fill: "#57606a" }),
    `<rect x="${Math.min(from, to)}" y="${top + 8}" width="${Math.max(Math.abs(to - from), 1)}" height="${rowHeight - 16}" fill="${fill}"/>`,
    `<line x1="${place(ratio.lower)}" y1="${middle}" x2="${place(ratio.upper)}" y2="${middle}" stroke="#24292f" stroke-width="2"/>`,
    goalAt === undefined
      ? ""
      : `<line x1="${goalAt}" y1="${top + 4}" x2="${goalAt}" y2="${top + rowHeight - 4}" stroke="#cf222e" stroke-dasharray="3 2"/>`,
    text(width - 120, middle + 4, `${ratio.median.toFixed(2)}×`, { size: 13, weight: "bold" }),
    text(width - 50, middle + 4, goalText(goal), { size: 11, fill: "#57606a" }),
  ].join("");
}

function place(ratio: number): number {
  const share = Math.log(Math.min(Math.max(ratio, least), most) / least) / Math.log(most / least);
  return Math.round((barsFrom + share * barsWidth) * 10) / 10;
}

interface TextStyle {
  readonly size: number;
  readonly fill?: string;
  readonly weight?: string;
  readonly anchor?: string;
}

function text(x: number, y: number, content: string, style: TextStyle): string {
  const { size, fill = "#24292f", weight = "normal", anchor = "start" } = style;
  const escaped = content.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
  return `<text x="${x}" y="${y}" font-size="${size}" fill="${fill}" font-weight="${weight}" text-anchor="${anchor}">${escaped}</text>`;
}
