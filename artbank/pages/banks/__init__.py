"""Pages of banks: one beside each bank, and the index of them all.

STORE/index.html                                       the index
      banks/<collection>/<bank_id>/index.html          a bank's page
      assets/*                                         what they share, named by its content
      site.json                                        what each page was made from, so that only others are made anew

All of it follows from the catalog and from what is kept beside the banks; losing it loses nothing.
"""
