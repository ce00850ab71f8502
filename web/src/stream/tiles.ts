/** Decodes `TILES` messages into the held picture. */
import { type Picture, TILE } from './picture';
import type { PixelCode, Span } from './pixels';
import { Flag, type Message, ProtocolError } from './proto';
import type { Zstd } from './zstd';

const TILES_HEADER_BYTES = 12;
const OPAQUE = 0xff00_0000;

const Op = { Solid: 0, Palette: 1, Grey: 2, Rgb: 3, Copy: 4, Save: 5, Load: 6 } as const;

/** What one message did. */
export interface Decoded {
  readonly frame: number;
  /** Agent's clock when the picture was taken. */
  readonly capturedUs: number;
  readonly last: boolean;
}

export class TileDecoder {
  readonly #picture: Picture;
  readonly #code: PixelCode;
  readonly #zstd: Pick<Zstd, 'unpack'>;
  readonly #colours = new Uint32Array(16);

  /** `code` is that of the picture. */
  constructor(picture: Picture, code: PixelCode, zstd: Pick<Zstd, 'unpack'>) {
    this.#picture = picture;
    this.#code = code;
    this.#zstd = zstd;
  }

  /** Runs the message's operations; adds the tiles they changed to `touched`. */
  decode(message: Message, touched: Set<number>): Decoded {
    const { payload, flags } = message;
    if (payload.length < TILES_HEADER_BYTES) throw new ProtocolError('tiles message too short');
    const view = new DataView(payload.buffer, payload.byteOffset, TILES_HEADER_BYTES);
    const frame = view.getUint32(0, true);
    const capturedUs = view.getUint32(4, true) + view.getUint32(8, true) * 0x1_0000_0000;
    let body = payload.subarray(TILES_HEADER_BYTES);
    if (flags & Flag.Zstd) body = this.#zstd.unpack(body);
    this.#run(this.#code.body(body), touched);
    return { frame, capturedUs, last: (flags & Flag.Last) !== 0 };
  }

  #run(body: Uint8Array, touched: Set<number>): void {
    if (body.length < 4) throw new ProtocolError('body too short');
    const opsLength = new DataView(body.buffer, body.byteOffset, 4).getUint32(0, true);
    if (opsLength > body.length - 4) throw new ProtocolError('operations longer than the body');
    const ops = new Reader(body.subarray(4, 4 + opsLength));
    const pixels = new Reader(body.subarray(4 + opsLength));
    while (!ops.isEmpty) {
      const op = ops.u8();
      switch (op) {
        case Op.Solid:
          this.#fill(this.#area(ops, touched), ops.colour());
          break;
        case Op.Palette:
          this.#palette(this.#area(ops, touched), ops, pixels);
          break;
        case Op.Grey:
          this.#grey(this.#area(ops, touched), ops.u8(), pixels);
          break;
        case Op.Rgb:
          this.#rgb(this.#area(ops, touched), ops.u8(), pixels);
          break;
        case Op.Copy:
          this.#copy(ops, touched);
          break;
        case Op.Save:
          this.#picture.save(ops.u16(), ops.u16());
          break;
        case Op.Load: {
          const tile = ops.u16();
          this.#picture.load(tile, ops.u16());
          touched.add(tile);
          break;
        }
        default:
          throw new ProtocolError(`unknown operation ${op}`);
      }
    }
    if (!pixels.isEmpty) throw new ProtocolError('more pixels than operations');
  }

  #area(ops: Reader, touched: Set<number>): Span {
    const tile = ops.u16();
    const x = ops.u8();
    const y = ops.u8();
    const width = ops.u8() + 1;
    const height = ops.u8() + 1;
    const rect = this.#picture.tileRect(tile);
    if (x + width > rect.width || y + height > rect.height) {
      throw new ProtocolError('area outside its tile');
    }
    touched.add(tile);
    return { start: (rect.y + y) * this.#picture.width + rect.x + x, width, height };
  }

  #fill({ start, width, height }: Span, colour: number): void {
    const { pixels, width: stride } = this.#picture;
    for (let row = 0; row < height; row++, start += stride) {
      pixels.fill(colour, start, start + width);
    }
  }

  #palette(area: Span, ops: Reader, source: Reader): void {
    const count = ops.u8();
    if (count < 2 || count > 16) throw new ProtocolError('palette of a wrong length');
    const colours = this.#colours.subarray(0, count);
    for (let i = 0; i < count; i++) colours[i] = ops.colour();
    const bits = count <= 2 ? 1 : count <= 4 ? 2 : 4;
    const packed = source.take(((area.width * bits + 7) >> 3) * area.height);
    if (!this.#code.palette(colours, bits, packed, area)) {
      throw new ProtocolError('colour outside the palette');
    }
  }

  #grey(area: Span, predictor: number, source: Reader): void {
    this.#code.grey(known(predictor), source.take(area.width * area.height), area);
  }

  #rgb(area: Span, predictor: number, source: Reader): void {
    this.#code.rgb(known(predictor), source.take(3 * area.width * area.height), area);
  }

  #copy(ops: Reader, touched: Set<number>): void {
    const sx = ops.u16();
    const sy = ops.u16();
    const dx = ops.u16();
    const dy = ops.u16();
    const width = ops.u16();
    const height = ops.u16();
    if (width === 0 || height === 0) throw new ProtocolError('empty copy');
    this.#picture.copy(sx, sy, dx, dy, width, height);
    const lastColumn = Math.floor((dx + width - 1) / TILE);
    const lastRow = Math.floor((dy + height - 1) / TILE);
    for (let row = Math.floor(dy / TILE); row <= lastRow; row++) {
      for (let column = Math.floor(dx / TILE); column <= lastColumn; column++) {
        touched.add(row * this.#picture.columns + column);
      }
    }
  }
}

function known(predictor: number): number {
  if (predictor > 1) throw new ProtocolError(`unknown predictor ${predictor}`);
  return predictor;
}

/** Takes numbers from the front of a byte array and never reads past its end. */
class Reader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get isEmpty(): boolean {
    return this.#at >= this.#bytes.length;
  }

  u8(): number {
    const value = this.#bytes[this.#at++];
    if (value === undefined) throw new ProtocolError('body ends too early');
    return value;
  }

  u16(): number {
    const low = this.u8();
    return low | (this.u8() << 8);
  }

  /** Red, green, blue as one opaque pixel. */
  colour(): number {
    const red = this.u8();
    const green = this.u8();
    return (OPAQUE | (this.u8() << 16) | (green << 8) | red) >>> 0;
  }

  take(bytes: number): Uint8Array {
    const end = this.#at + bytes;
    if (end > this.#bytes.length) throw new ProtocolError('pixels end too early');
    const taken = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return taken;
  }
}
