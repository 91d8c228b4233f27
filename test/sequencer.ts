import { BaseSequencer, type TestSpecification } from 'vitest/node'

/** Whose tests start processes and browsers: each takes up to a minute and a half. */
const SLOW = ['system', 'cli', 'dashboard', 'client', 'sessions']

const rankOf = ({ moduleId }: TestSpecification): number => {
  const rank = SLOW.findIndex((folder) => moduleId.includes(`/test/${folder}/`))
  return rank < 0 ? SLOW.length : rank
}

/** The slow ones first, also where it is not known yet how long each takes: else the slowest runs alone at the end. */
export class SlowFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files)
    return sorted.toSorted((a, b) => rankOf(a) - rankOf(b))
  }
}
