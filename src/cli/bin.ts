#!/usr/bin/env node
import { run } from './run.ts'

// An app's own pool, which nobody ends, would keep the process.
process.exit(await run())
