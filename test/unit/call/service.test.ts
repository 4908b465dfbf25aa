import { expect } from "chai";
import { frameOfReply, shareReply } from "../../../src/call/service.ts";

describe("the frame of a reply", () => {
  const frames = () => {
    let made = 0;
    return () => Uint8Array.of(++made);
  };

  it("is made once for a reply that several calls share", () => {
    const make = frames();
    const reply = shareReply({});
    expect([frameOfReply(reply, make), frameOfReply(reply, make)]).to.eql([
      Uint8Array.of(1),
      Uint8Array.of(1),
    ]);
  });

  it("is made for each call otherwise: its message may have changed", () => {
    const make = frames();
    const reply = {};
    expect([frameOfReply(reply, make), frameOfReply(reply, make)]).to.eql([
      Uint8Array.of(1),
      Uint8Array.of(2),
    ]);
  });

  it("is that of the reply, not of another one", () => {
    const make = frames();
    const [one, other] = [shareReply({ n: 1 }), shareReply({ n: 2 })];
    frameOfReply(one, make);
    expect(frameOfReply(other, make)).to.eql(Uint8Array.of(2));
  });
});
