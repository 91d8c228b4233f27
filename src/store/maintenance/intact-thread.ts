import { parentPort, workerData } from 'node:worker_threads'
import { readForDamage } from './intact.js'

parentPort?.postMessage(readForDamage(String(workerData)))
