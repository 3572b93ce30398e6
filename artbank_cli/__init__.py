"""The command line: `artbank train | stylize | verify | doctor | banks | site | export | demo`."""
