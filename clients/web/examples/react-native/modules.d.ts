// As much of React Native's modules as the example uses, so that it is type-checked without them.
export const AppState: { addEventListener(event: 'change', listener: (state: string) => void): { remove(): void } }

declare const modules: {
  addEventListener(listener: (state: { isConnected: boolean | null; type: string }) => void): () => void
  getItem(key: string): Promise<string | null>
  setItem(key: string, value: string): Promise<void>
}
export default modules
