import satisfies from "spdx-satisfies";

/** Licences that ask for no more than to be named, by their SPDX identifiers. */
const permissive = ["0BSD", "Apache-2.0", "BlueOak-1.0.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT"];

/** For tools that are not shipped, and their data. */
const forDevelopment = [...permissive, "CC-BY-3.0", "CC0-1.0", "MPL-2.0", "PSF-2.0"];

/** Whether a package of this licence, an SPDX expression, may be used. */
export function isAllowed(licence: string | undefined, { dev = false }: { dev?: boolean }): boolean {
  if (licence === undefined) return false;
  try {
    return satisfies(licence, dev ? forDevelopment : permissive);
  } catch {
    // No SPDX expression: nobody knows what it allows.
    return false;
  }
}
