/**
 * Preloaded into a process (`--import`), lets a test move its clock from outside, also while it is stopped: the clocks go
 * ahead by the milliseconds that stand in the file CLOCK_AHEAD.
 */
import { readFileSync } from 'node:fs'

const file = process.env.CLOCK_AHEAD
const ahead = () => Number(readFileSync(file, 'utf8'))
const wall = Date.now
const monotonic = performance.now.bind(performance)
Date.now = () => wall() + ahead()
performance.now = () => monotonic() + ahead()
