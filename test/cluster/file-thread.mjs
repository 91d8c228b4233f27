// Reads the file of a coordinator in a thread of its own: every link of the cluster goes through the process of the proof, which must not
// stand still meanwhile.
import { parentPort, workerData } from 'node:worker_threads'
import { checkRows } from './check.mjs'
import { differencesOf, inFile } from './files.mjs'

const { file, files, ledger } = workerData
parentPort.postMessage(files === undefined ? inFile(file, (db) => checkRows(db, ledger)) : differencesOf(files))
