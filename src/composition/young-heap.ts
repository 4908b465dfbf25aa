import { setFlagsFromString } from "node:v8";

/**
 * Has V8 put all that is new where it is soon collected. Left alone it finds many calls alive whenever it collects, takes
 * what they are made of for long-lived ("pretenuring"), and puts it where only a full collection finds it: 3.0 KB of each
 * gRPC call, and 2.2 KB like this. With the space for what is new that `npm start` gives it, four times the usual, an
 * empty call takes 22 µs of the processor instead of 26.
 */
export function startYoung(): void {
  setFlagsFromString("--no-allocation-site-pretenuring");
}
