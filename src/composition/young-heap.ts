import { setFlagsFromString } from "node:v8";

/**
 * Has V8 put all that is new where it is soon collected. Left alone it finds that many calls are alive whenever it
 * collects, takes what they are made of for long-lived, and puts it ("pretenuring") where only a full collection finds
 * it: 2.9 KB of each gRPC call, 0.2 KB without.
 */
export function startYoung(): void {
  setFlagsFromString("--no-allocation-site-pretenuring");
}
