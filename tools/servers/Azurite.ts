/** A real Azurite for tests: the blob service of Azure, on a free loopback port, in a folder of its own. */
import { join } from "node:path"
import { root } from "../ensure.ts"
import { freshFolder, type OwnServer, start } from "./ServerProcess.ts"

const program = join(root, "tools", "node_modules", "azurite", "dist", "src", "blob", "main.js")

/** The account that every Azurite has; its key is no secret. */
export const account = "devstoreaccount1"
export const key = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="

/** Makes a container, as an operator does before the first asset. */
export const makeContainer = async (url: string, name: string): Promise<void> => {
  const { BlobServiceClient, StorageSharedKeyCredential } = await import("@azure/storage-blob")
  const service = new BlobServiceClient(url, new StorageSharedKeyCredential(account, key))
  await service.getContainerClient(name).createIfNotExists()
}

export const startAzurite = async (): Promise<OwnServer> => {
  const folder = await freshFolder("azurite")
  return start({
    folder,
    url: (port) => `http://127.0.0.1:${port}/${account}`,
    command: (port) => ({
      file: process.execPath,
      args: [
        program,
        ...["--blobHost", "127.0.0.1", "--blobPort", String(port), "--location", folder],
        "--skipApiVersionCheck",
        "--disableTelemetry"
      ],
      ready: "successfully listen",
      stopSignal: "SIGTERM"
    })
  })
}
