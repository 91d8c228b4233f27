import { defineConfig } from 'drizzle-kit'

export default defineConfig({
  dialect: 'sqlite',
  schema: [
    './src/store/schema.ts',
    './src/store/attempt-schema.ts',
    './src/store/access-schema.ts',
    './src/store/settlement-schema.ts',
    './src/store/receipt-schema.ts',
    './src/store/callback-schema.ts',
    './src/store/journal-schema.ts',
  ],
  out: './drizzle',
})
