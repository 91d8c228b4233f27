// Reads the file of a coordinator in a thread of its own: every link of the cluster goes through the process of the proof, which must not
// stand still meanwhile.
import { parentPort, workerData } from 'node:worker_threads'
import { checkRows } from './check.mjs'
import { inFile, stateOf } from './files.mjs'

const { file, ledger } = workerData
parentPort.postMessage(ledger === undefined ? stateOf(file) : inFile(file, (db) => checkRows(db, ledger)))
