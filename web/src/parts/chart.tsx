import { useEffect, useRef, useState } from 'preact/hooks'
import { useSignalEffect } from '@preact/signals'
import uPlot from 'uplot'
import 'uplot/dist/uPlot.min.css'
import { isDark, language } from '../state/settings.js'
import { words } from '../words/index.js'
import { time } from './format.js'

export interface Line {
  label: string
  /** The CSS variable with its colour, such as `--completed`. */
  colour: string
  values: readonly (number | null)[]
  /** How it is drawn where colours are not told apart. */
  dash?: number[]
}

export interface ChartProps {
  title: string
  /** Unix ms of the first value, and between two of them. */
  fromMs: number
  stepMs: number
  lines: readonly Line[]
  /** Each line stands on the one before. */
  stacked?: boolean
  /** How a value is written. */
  show: (value: number | null) => string
  /** There is nothing between its whole numbers. */
  whole?: boolean
  /** When the service has started, or its clock was set, Unix ms. */
  marks?: readonly number[]
}

const HEIGHT = 150
/** A variable as a canvas takes it, resolved for the theme: `rgb(1, 2, 3)`. */
function colourOf(name: string, box: HTMLElement): string {
  const probe = document.createElement('span')
  probe.style.color = `var(${name})`
  box.append(probe)
  const { color } = getComputedStyle(probe)
  probe.remove()
  return color
}
const partsOf = (colour: string): number[] => (colour.match(/[\d.]+/g) ?? []).slice(0, 3).map(Number)
/** A little of a colour on the ground: not to be seen through, for areas lie one over the other. */
function faint(colour: string, ground: string): string {
  const below = partsOf(ground)
  return `rgb(${partsOf(colour)
    .map((n, i) => Math.round(n * 0.35 + (below[i] ?? n) * 0.65))
    .join(', ')})`
}
const FONT = '11px system-ui, sans-serif'

/** The values of stacked lines, from the top one down: what is drawn first lies behind. */
function stack(lines: readonly Line[]): (number | null)[][] {
  const sums: (number | null)[][] = []
  for (const { values } of lines) {
    const below = sums.at(-1)
    sums.push(values.map((v, i) => (v === null && below?.[i] == null ? null : (v ?? 0) + (below?.[i] ?? 0))))
  }
  return sums
}

/** @param marks asked for each time it is drawn */
function draw(
  box: HTMLElement,
  props: ChartProps,
  marks: () => readonly number[],
  onHover: (at: number | null) => void,
): uPlot {
  const { lines, stacked = false, whole = false, show } = props
  const [ink, grid, ground, markColour] = (['--quiet', '--line', '--panel', '--timeout'] as const).map((name) =>
    colourOf(name, box),
  ) as [string, string, string, string]
  const axis = { stroke: ink, grid: { stroke: grid, width: 1 }, ticks: { stroke: grid, width: 1 }, font: FONT }
  const drawn = stacked ? [...lines].reverse() : lines
  return new uPlot(
    {
      width: box.clientWidth,
      height: HEIGHT,
      legend: { show: false },
      cursor: { y: false, points: { show: false }, drag: { x: false, y: false } },
      scales: { y: { range: (_, __, max) => [0, max > 0 ? max * 1.1 : 1] } },
      axes: [
        {
          ...axis,
          space: 70,
          values: (_, ticks) => ticks.map((s) => time(s * 1000).replace(/:\d\d$/, '')),
        },
        {
          ...axis,
          size: 62,
          space: 32,
          values: (_, ticks) => ticks.map((v) => (whole && !Number.isInteger(v) ? '' : show(v))),
        },
      ],
      series: [
        {},
        ...drawn.map(({ label, colour, dash }) => {
          const stroke = colourOf(colour, box)
          return {
            label,
            stroke,
            width: 1.5,
            points: { show: false },
            ...(dash === undefined ? {} : { dash }),
            ...(stacked ? { fill: faint(stroke, ground) } : {}),
          }
        }),
      ],
      hooks: {
        setCursor: [(u) => onHover(u.cursor.idx ?? null)],
        draw: [
          (u) => {
            for (const ms of marks()) {
              const x = u.valToPos(ms / 1000, 'x', true)
              if (x <= u.bbox.left || x > u.bbox.left + u.bbox.width) continue
              u.ctx.save()
              u.ctx.strokeStyle = markColour
              u.ctx.setLineDash([4, 4])
              u.ctx.beginPath()
              u.ctx.moveTo(x, u.bbox.top)
              u.ctx.lineTo(x, u.bbox.top + u.bbox.height)
              u.ctx.stroke()
              u.ctx.restore()
            }
          },
        ],
      },
    },
    dataOf(props),
    box,
  )
}

function dataOf({ fromMs, stepMs, lines, stacked = false }: ChartProps): uPlot.AlignedData {
  const length = lines[0]?.values.length ?? 0
  const xs = Array.from({ length }, (_, i) => (fromMs + i * stepMs) / 1000)
  const ys = stacked ? stack(lines).reverse() : lines.map(({ values }) => [...values])
  return [xs, ...ys]
}

/** Rows of the table beside a chart: so many of the newest steps. */
const TABLE_ROWS = 15

/** A chart, what its lines are, and the same as a table. */
export function Chart(props: ChartProps) {
  const { title, lines, fromMs, stepMs, show } = props
  const t = words.value
  const box = useRef<HTMLDivElement>(null)
  const plot = useRef<uPlot | null>(null)
  const [at, setAt] = useState<number | null>(null)
  const [isOpen, setOpen] = useState(false)
  const shape = lines.map(({ label, colour }) => label + colour).join('|')
  const latest = useRef(props)
  latest.current = props

  const redraw = (): void => {
    plot.current?.destroy()
    plot.current =
      box.current === null ? null : draw(box.current, latest.current, () => latest.current.marks ?? [], setAt)
  }
  // Its colours and its words are drawn, not styled.
  useSignalEffect(() => {
    isDark()
    void language.value
    redraw()
  })
  useEffect(redraw, [shape])
  useEffect(() => plot.current?.setData(dataOf(props)), [lines, fromMs])
  useEffect(() => {
    const element = box.current
    if (element === null) return
    const watch = new ResizeObserver(() => plot.current?.setSize({ width: element.clientWidth, height: HEIGHT }))
    watch.observe(element)
    return () => {
      watch.disconnect()
      plot.current?.destroy()
      plot.current = null
    }
  }, [])

  const length = lines[0]?.values.length ?? 0
  // The last step may not be known yet.
  const shown = at ?? Math.max(0, ...lines.map(({ values }) => values.findLastIndex((v) => v !== null)))
  const when = (i: number): string => time(fromMs + i * stepMs)
  return (
    <figure class="chart">
      <figcaption>
        <h3>{title}</h3>
        <span class="quiet">{at === null ? '' : when(at)}</span>
      </figcaption>
      <div class="plot" ref={box} role="img" aria-label={t.chart.image(title)} />
      {length === 0 && <p class="quiet">{t.chart.nothing}</p>}
      <ul class="legend">
        {lines.map(({ label, colour, values }) => (
          <li key={label}>
            <i style={{ background: `var(${colour})` }} aria-hidden="true" />
            {label} <b>{show(values[shown] ?? null)}</b>
          </li>
        ))}
      </ul>
      <details onToggle={(e) => setOpen(e.currentTarget.open)}>
        <summary>{t.chart.table}</summary>
        {isOpen && (
          <div class="scroll" tabIndex={0} role="region" aria-label={title}>
            <table class="small">
              <thead>
                <tr>
                  <th scope="col">{t.chart.time}</th>
                  {lines.map(({ label }) => (
                    <th scope="col" class="figure" key={label}>
                      {label}
                    </th>
                  ))}
                </tr>
              </thead>
              <tbody>
                {Array.from({ length: Math.min(TABLE_ROWS, length) }, (_, back) => length - 1 - back).map((i) => (
                  <tr key={i}>
                    <th scope="row">{when(i)}</th>
                    {lines.map(({ label, values }) => (
                      <td class="figure" key={label}>
                        {show(values[i] ?? null)}
                      </td>
                    ))}
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        )}
      </details>
    </figure>
  )
}
