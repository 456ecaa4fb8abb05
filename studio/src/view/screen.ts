// The terminal on the page: xterm.js with its addons, and what it must not do.
//
// Programs can ask a terminal to say things, which it types as if a person had. Here it answers only
// what is harmless, and nothing at all while old output is drawn again: what was asked then has been
// answered then. The clipboard, titles, window operations and settings are never told; links lead to
// http and https alone.

import { FitAddon } from "@xterm/addon-fit";
import { SearchAddon } from "@xterm/addon-search";
import { Unicode11Addon } from "@xterm/addon-unicode11";
import { WebLinksAddon } from "@xterm/addon-web-links";
import { WebglAddon } from "@xterm/addon-webgl";
import { Terminal, type IDisposable, type IMarker, type ITheme } from "@xterm/xterm";
import "@xterm/xterm/css/xterm.css";
import type { Screen } from "../core/session";
import { constructStyles } from "./styles";

const SCROLLBACK_LINES = 10_000;
const FONT = '"SF Mono", "Cascadia Mono", "JetBrains Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace';
const RESET = new TextEncoder().encode("\x1bc");

const LIGHT: ITheme = {
  background: "#ffffff", foreground: "#1c1e1c", cursor: "#0b6b5e", cursorAccent: "#ffffff", selectionBackground: "#b9ddd6",
  black: "#24292e", red: "#b3261e", green: "#1a7340", yellow: "#8a5a00", blue: "#1f5fbf", magenta: "#8b3fa8", cyan: "#0a6f80", white: "#6a6f6b",
  brightBlack: "#5c615d", brightRed: "#d03a30", brightGreen: "#23904f", brightYellow: "#a87000", brightBlue: "#2f77e0", brightMagenta: "#a455c4", brightCyan: "#0c8a9e", brightWhite: "#3a3f3b",
};
const DARK: ITheme = {
  background: "#111413", foreground: "#e3e8e5", cursor: "#5cc9b5", cursorAccent: "#111413", selectionBackground: "#29504a",
  black: "#1f2423", red: "#ff8a80", green: "#72d39a", yellow: "#e6c06a", blue: "#84b6ff", magenta: "#d69cf0", cyan: "#6fd0dd", white: "#cfd6d2",
  brightBlack: "#8a958f", brightRed: "#ffa79f", brightGreen: "#97e3b4", brightYellow: "#f2d694", brightBlue: "#a9ccff", brightMagenta: "#e5bcf7", brightCyan: "#9be3ec", brightWhite: "#f3f6f4",
};

export class XtermScreen implements Screen {
  readonly terminal: Terminal;
  readonly finder = new SearchAddon();
  onTyped: (bytes: Uint8Array) => void = () => {};
  // A character typed now is turned into another, as by a Ctrl on the touch bar.
  transform: ((text: string) => string) | null = null;

  private readonly fitter = new FitAddon();
  private readonly encoder = new TextEncoder();
  private readonly disposables: IDisposable[] = [];
  private readonly prompts: IMarker[] = [];
  private isMuted = true; // as far as has been drawn
  private isMutedNext = true; // for what is drawn next

  constructor(parent: HTMLElement, options: { isDark: boolean; fontSize: number; size: [number, number] }) {
    constructStyles();
    this.terminal = new Terminal({
      cols: options.size[0],
      rows: options.size[1],
      allowProposedApi: true, // unicode11 is one
      fontFamily: FONT,
      fontSize: options.fontSize,
      lineHeight: 1.15,
      scrollback: SCROLLBACK_LINES,
      theme: options.isDark ? DARK : LIGHT,
      minimumContrastRatio: 4.5,
      cursorBlink: true,
      macOptionIsMeta: true,
      screenReaderMode: false,
      linkHandler: { activate: (_event, uri) => openLink(uri), allowNonHttpProtocols: false },
    });
    const { terminal } = this;
    terminal.loadAddon(this.fitter);
    terminal.loadAddon(this.finder);
    terminal.loadAddon(new Unicode11Addon());
    terminal.unicode.activeVersion = "11";
    terminal.loadAddon(new WebLinksAddon((_event, uri) => openLink(uri)));
    this.forbid();
    terminal.open(parent);
    this.accelerate();
    this.disposables.push(
      terminal.onData((text) => this.onTyped(this.encoder.encode(this.transform?.(text) ?? text))),
      terminal.onBinary((text) => this.onTyped(Uint8Array.from(text, (c) => c.charCodeAt(0)))),
    );
  }

  // ---- what core/session asks for

  draw(data: Uint8Array, isReplay: boolean, drawn: () => void): void {
    this.mute(isReplay);
    this.terminal.write(data, drawn);
  }

  reset(data: Uint8Array, drawn: () => void): void {
    this.mute(true);
    // In the stream, not by a call: what was written before is drawn first.
    this.terminal.write(RESET);
    this.terminal.write(data, drawn);
  }

  sized(columns: number, rows: number): void {
    this.terminal.resize(columns, rows);
  }

  // ---- what the page asks for

  // The size that fills the page.
  fitting(): { columns: number; rows: number } | null {
    const found = this.fitter.proposeDimensions();
    if (!found || !Number.isFinite(found.cols) || !Number.isFinite(found.rows)) return null;
    return { columns: Math.max(2, Math.min(1000, found.cols)), rows: Math.max(1, Math.min(1000, found.rows)) };
  }

  setTheme(isDark: boolean): void {
    this.terminal.options.theme = isDark ? DARK : LIGHT;
  }

  setFontSize(px: number): void {
    this.terminal.options.fontSize = px;
  }

  // To the prompt before or after what is at the top of the screen, as the shell marked them.
  toPrompt(step: 1 | -1): boolean {
    const top = this.terminal.buffer.active.viewportY;
    const lines = this.prompts.filter((m) => !m.isDisposed).map((m) => m.line);
    const found = step < 0 ? lines.filter((l) => l < top).at(-1) : lines.find((l) => l > top);
    if (found === undefined) return false;
    this.terminal.scrollToLine(found);
    return true;
  }

  get isAtTop(): boolean {
    const { active } = this.terminal.buffer;
    return active.type === "normal" && active.viewportY === 0 && active.baseY > 0;
  }

  dispose(): void {
    for (const disposable of this.disposables) disposable.dispose();
    this.terminal.dispose();
  }

  private mute(isMuted: boolean): void {
    if (isMuted === this.isMutedNext) return;
    this.isMutedNext = isMuted;
    // Takes effect between what was written before and what is written next.
    this.terminal.write("", () => (this.isMuted = isMuted));
  }

  // Sequences that make a terminal answer: swallowed while muted, some of them always.
  private forbid(): void {
    const { parser } = this.terminal;
    const whenMuted = (): boolean => this.isMuted;
    const always = (): boolean => true;
    const asks = (data: string): boolean => /(?:^|;)\?/.test(data) && this.isMuted;
    this.disposables.push(
      parser.registerCsiHandler({ final: "c" }, whenMuted), // device attributes
      parser.registerCsiHandler({ prefix: ">", final: "c" }, whenMuted),
      parser.registerCsiHandler({ prefix: "=", final: "c" }, whenMuted),
      parser.registerCsiHandler({ final: "n" }, whenMuted), // status and cursor reports
      parser.registerCsiHandler({ prefix: "?", final: "n" }, whenMuted),
      parser.registerCsiHandler({ intermediates: "$", final: "p" }, whenMuted), // mode reports
      parser.registerCsiHandler({ prefix: "?", intermediates: "$", final: "p" }, whenMuted),
      parser.registerCsiHandler({ prefix: ">", final: "q" }, always), // name and version
      parser.registerCsiHandler({ final: "t" }, always), // window operations and title reports
      parser.registerDcsHandler({ intermediates: "$", final: "q" }, always), // settings
      parser.registerDcsHandler({ intermediates: "+", final: "q" }, always),
      parser.registerOscHandler(52, always), // clipboard
      parser.registerOscHandler(4, asks), // colours, when they are asked for
      parser.registerOscHandler(10, asks),
      parser.registerOscHandler(11, asks),
      parser.registerOscHandler(12, asks),
      parser.registerOscHandler(133, (data) => this.marked(data)),
      parser.registerOscHandler(633, (data) => this.marked(data)),
    );
  }

  private marked(data: string): boolean {
    if (data.startsWith("A")) {
      const marker = this.terminal.registerMarker(0);
      if (marker) this.prompts.push(marker);
      if (this.prompts.length > 5000) this.prompts.splice(0, 1000);
    }
    return true;
  }

  // WebGL draws many times faster; where it is missing or lost, the page's own text does.
  private accelerate(): void {
    try {
      const webgl = new WebglAddon();
      webgl.onContextLoss(() => webgl.dispose());
      this.terminal.loadAddon(webgl);
    } catch {
      return;
    }
  }
}

function openLink(uri: string): void {
  if (/^https?:\/\//i.test(uri)) window.open(uri, "_blank", "noopener,noreferrer");
}
