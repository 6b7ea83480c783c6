#!/usr/bin/env node
import { run } from './run.ts'

// A pool of the app, which is not ended here, would keep the process alive.
process.exit(await run())
