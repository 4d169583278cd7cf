of no use: graph/HCLr.fst
