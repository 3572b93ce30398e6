"""The command line: `artbank train | stylize | verify | doctor | banks | export | demo`."""
