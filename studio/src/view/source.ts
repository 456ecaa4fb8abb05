// Where a log view takes its lines from. What can change is watched by way of `version`.

export interface LogSource {
  readonly version: number;
  readonly lines: {
    readonly count: number;
    text(index: number): string;
    matches(needle: string): Iterable<number>;
  };
  readonly sizeBytes: number; // up to the last line
  readonly isEnded: boolean; // nothing will be added at the end
  readonly isLoading: boolean;
  readonly trouble: string;
  readonly hasEarlier: boolean;
  readonly earlierBytes: number; // before the first line
  readonly beginAt: number | null; // the line to show first; null: the end
  readonly downloadPath: string;
  readonly downloadName: string;
  onShift: (lines: number) => void; // lines were put before the first
  loadEarlier(): Promise<boolean>; // whether any came
}
