"""Pages of banks: one beside each bank, and the index of them all.

STORE/index.html                                       the index
      banks/<collection>/<bank_id>/index.html          a bank's page
      assets/*                                         shared files, named by their content
      site.json                                        a stamp of each page's sources, to skip pages that are up to date

All pages are derived from the catalog and the banks' files, so they can always be written again.
"""
